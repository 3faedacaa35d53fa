//! What kind of statement the first words announce, as far as a replay must know. Pure.

/// How a statement may be sent.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    /// INSERT, UPDATE, DELETE: many of them may go in one message, which makes them one transaction.
    Rows,
    /// Definitions: in one message only where they are in one transaction anyway.
    Definition,
    /// BEGIN, START TRANSACTION.
    Begin,
    /// COMMIT, END.
    Commit,
    /// ROLLBACK, ABORT, PREPARE TRANSACTION and the like: what they end is not ours to hold together.
    OtherEnd,
    /// Settings: nothing is changed for good.
    Setting,
    /// All others: what they call may change the settings by which the rest of the script is read.
    Alone,
}

impl Kind {
    /// By the first words of a statement, in lower case.
    pub(super) fn of(words: &[String]) -> Kind {
        let word = |at: usize| words.get(at).map_or("", String::as_str);
        match word(0) {
            "insert" | "update" | "delete" => Kind::Rows,
            "create" | "alter" | "drop" | "comment" | "grant" | "revoke" => Kind::Definition,
            "begin" | "start" => Kind::Begin,
            "commit" | "end" if word(1) == "prepared" || is_chained(words) => Kind::OtherEnd,
            "commit" | "end" => Kind::Commit,
            "rollback" if (1..3).any(|at| word(at) == "to") => Kind::Alone,
            "rollback" | "abort" => Kind::OtherEnd,
            "prepare" if word(1) == "transaction" => Kind::OtherEnd,
            "set" | "reset" | "show" => Kind::Setting,
            "select" if words.iter().any(|word| word == "set_config") => Kind::Setting,
            _ => Kind::Alone,
        }
    }
}

fn is_chained(words: &[String]) -> bool {
    words.iter().any(|word| word == "chain") && !words.iter().any(|word| word == "no")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_tell_the_kind() {
        for (text, kind) in [
            ("insert into t", Kind::Rows),
            ("with x as", Kind::Alone),
            ("select pg_catalog set_config", Kind::Setting),
            ("select setval", Kind::Alone),
            ("commit work", Kind::Commit),
            ("commit and chain", Kind::OtherEnd),
            ("end and no chain", Kind::Commit),
            ("commit prepared", Kind::OtherEnd),
            ("rollback", Kind::OtherEnd),
            ("rollback transaction to savepoint s", Kind::Alone),
            ("prepare transaction", Kind::OtherEnd),
            ("prepare p as", Kind::Alone),
            ("start transaction", Kind::Begin),
            ("create table t", Kind::Definition),
            ("", Kind::Alone),
        ] {
            let words: Vec<String> = text.split_whitespace().map(str::to_owned).collect();
            assert_eq!(Kind::of(&words), kind, "{text}");
        }
    }
}
