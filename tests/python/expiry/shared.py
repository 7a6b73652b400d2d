"""What the tests of expiry share."""

TTL = 1000
"""Seconds; a test moves the clock, so that its own time does not count."""


def after_expiry(clock):
    clock.move(TTL + 1)


def name(node):
    if "Entity" in node.labels:
        return f"entity {node['label']}"
    return "summary of " + node["chat_id"] if "Summary" in node.labels else node.id


def names(nodes):
    return sorted(name(node) for node in nodes)
