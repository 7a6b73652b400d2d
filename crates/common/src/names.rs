//! What may be an id or a name.

use crate::{Error, MAX_NAME, Result};

/// Checks an id, label, edge type or property name: 1–255 bytes of UTF-8 without NUL. `what` is what
/// an error calls it.
pub fn check(what: &str, name: &str) -> Result<()> {
    if name.is_empty() {
        return Err(Error::InvalidInput(format!("{what} is empty; it needs 1 to 255 bytes")));
    }
    if name.len() > MAX_NAME {
        return Err(Error::ValueTooLarge {
            what: format!("{what} {:?}…", name.chars().take(20).collect::<String>()),
            size: name.len(),
            limit: MAX_NAME,
        });
    }
    if name.contains('\0') {
        return Err(Error::BadText(format!("{what} {name:?} holds a NUL character; remove it")));
    }
    Ok(())
}

/// `WorkItem` → `work_item`: the prefix of ids that the database makes.
pub fn snake_case(label: &str) -> String {
    let mut out = String::with_capacity(label.len() + 4);
    let mut previous_lower = false;
    for c in label.chars() {
        if c.is_uppercase() && previous_lower {
            out.push('_');
        }
        previous_lower = c.is_lowercase() || c.is_numeric();
        if c.is_alphanumeric() {
            out.extend(c.to_lowercase());
        } else {
            out.push('_');
        }
    }
    while out.len() > MAX_NAME - 33 {
        out.pop();
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn labels_become_prefixes() {
        assert_eq!(snake_case("Message"), "message");
        assert_eq!(snake_case("WorkItem2Do"), "work_item2_do");
        assert_eq!(snake_case("Ünder score"), "ünder_score");
        assert!(snake_case(&"é".repeat(255)).len() <= MAX_NAME - 33);
    }

    #[test]
    fn bad_names_say_why() {
        assert!(check("id", "").unwrap_err().to_string().contains("empty"));
        assert!(check("id", &"x".repeat(256)).unwrap_err().to_string().contains("256"));
        assert!(check("id", "a\0b").unwrap_err().to_string().contains("NUL"));
        assert!(check("id", &"x".repeat(255)).is_ok());
    }
}
