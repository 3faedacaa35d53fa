//! The statements around those of an entry that is made as its owner: format version 3. They belong to no entry.

use crate::objects::quote;

const BECOME: &str = "SET SESSION AUTHORIZATION ";

/// Ends what [`become_role`] began.
pub(crate) const BECOME_ONESELF: &str = "RESET SESSION AUTHORIZATION;";

/// What follows is done as this role.
pub(crate) fn become_role(role: &str) -> String {
    format!("{BECOME}{};", quote::ident(role))
}

/// Whether a statement is one of these.
pub(super) fn changes_role(statement: &[u8]) -> bool {
    let role = statement.strip_prefix(BECOME.as_bytes());
    role.is_some_and(|role| role.starts_with(b"\"")) || statement == BECOME_ONESELF.as_bytes()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn they_are_known_again() {
        for statement in [&become_role("a \"b\"; c"), BECOME_ONESELF] {
            assert!(changes_role(statement.as_bytes()), "{statement}");
        }
        for other in ["SET SESSION AUTHORIZATION DEFAULT;", "RESET ALL;"] {
            assert!(!changes_role(other.as_bytes()), "{other}");
        }
    }
}
