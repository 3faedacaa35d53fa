//! `restore -a --enable-row-security`: rows for tables whose policies bind the role that restores.

use crate::harness::pgstow::archive_of;
use crate::harness::{Database, on_every_major, pgstow};

const TABLES: &str = "
    CREATE TABLE \"t s\" (\"id x\" int GENERATED ALWAYS AS IDENTITY PRIMARY KEY, owner text, note text);
    INSERT INTO \"t s\" (owner, note) SELECT 'me', repeat('n', n) FROM generate_series(1, 100) n;
    ALTER TABLE \"t s\" ENABLE ROW LEVEL SECURITY;
    ALTER TABLE \"t s\" FORCE ROW LEVEL SECURITY;
    CREATE POLICY mine ON \"t s\" USING (owner = 'me');";

#[test]
fn rows_come_in_as_the_policies_allow() {
    on_every_major(|server| {
        let source = Database::filled(server, TABLES);
        let (_dir, file) = archive_of(&source);

        let target = Database::filled(server, TABLES);
        let role = format!("owner_{}", target.name);
        target.sql(&format!(
            "CREATE ROLE {role} LOGIN; GRANT ALL ON DATABASE \"{}\" TO {role}; ALTER TABLE \"t s\" OWNER TO {role}",
            target.name
        ));
        let url = target.url().replace("postgres@", &format!("{role}@"));
        let restore = ["restore", &file, &url, "-a", "--yes", "--no-analyze"];
        let count = "SELECT count(*), max(length(note)), max(\"id x\") FROM \"t s\"";

        target.sql("TRUNCATE \"t s\"");
        let refused = pgstow(restore).expect_status(1).stderr();
        assert!(refused.contains("--enable-row-security"), "{refused}");
        for more in [
            &["--enable-row-security"][..],
            &["--enable-row-security", "-1"],
        ] {
            target.sql("TRUNCATE \"t s\"");
            pgstow(restore.iter().chain(more)).expect_status(0);
            assert_eq!(target.sql(count), "100\t100\t100\n");
        }

        // What a policy forbids, or a trigger drops, is no restore.
        target.sql(
            "TRUNCATE \"t s\"; CREATE POLICY few ON \"t s\" AS RESTRICTIVE FOR INSERT WITH CHECK (length(note) < 100)",
        );
        let forbidden = pgstow(restore.iter().chain(&["--enable-row-security", "-1"]));
        let forbidden = forbidden.expect_status(1).stderr();
        assert!(forbidden.contains("row-level security"), "{forbidden}");
        target.sql(
            "DROP POLICY few ON \"t s\";
             CREATE FUNCTION drop_one() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN
             IF length(NEW.note) = 100 THEN RETURN NULL; END IF; RETURN NEW; END $$;
             CREATE TRIGGER drop_one BEFORE INSERT ON \"t s\" FOR EACH ROW EXECUTE PROCEDURE drop_one()",
        );
        let dropped = pgstow(restore.iter().chain(&["--enable-row-security", "-1"]));
        let dropped = dropped.expect_status(1).stderr();
        assert!(dropped.contains("did not take every row"), "{dropped}");
        assert_eq!(target.sql("SELECT count(*) FROM \"t s\""), "0\n");
        target.sql(&format!(
            "ALTER TABLE \"t s\" OWNER TO postgres; DROP OWNED BY {role}; DROP ROLE {role}"
        ));
    });
}
