"""What the fault tests share: children, the faults that befall them, and what must be left."""
