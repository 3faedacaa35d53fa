//! Names and texts that try to leave their quotes, made at random for every kind of object that has a name.
//!
//! `scripts/hostile.sh` makes 10 000 of them; without `PGSTOW_TEST_NAMES` some hundreds are made. The seed is printed
//! and `PGSTOW_TEST_SEED` repeats a run.

use std::collections::HashSet;
use std::path::Path;

use crate::harness::database::run_psql;
use crate::harness::dice::Dice;
use crate::harness::{Database, Server, Snapshot, differences, on_every_major, pgstow};

/// The objects of more would not fit into the lock table of a server at default settings when they are dropped and
/// recreated in one transaction.
const NAMES_OF_A_DATABASE: usize = 2_000;

#[test]
fn hostile_names_of_every_kind_come_back() {
    let number = |variable: &str, default: u64| {
        std::env::var(variable).map_or(default, |value| value.parse().unwrap())
    };
    let seed = number("PGSTOW_TEST_SEED", 20_260_114);
    let wanted = usize::try_from(number("PGSTOW_TEST_NAMES", 300)).unwrap();
    on_every_major(|shared| {
        // Its roles would be in the way of tests in other encodings.
        let server: &'static Server = Box::leak(Box::new(Server::alone(shared.major)));
        println!("PostgreSQL {}: seed {seed}", server.major);
        let keywords = Database::empty(server).sql("SELECT word FROM pg_get_keywords()");
        let mut author = Author::new(server.major, seed, keywords.lines());
        while author.used.len() < wanted {
            let enough = wanted.min(author.used.len() + NAMES_OF_A_DATABASE);
            while author.used.len() < enough {
                author.write_schema();
            }
            come_back(server, &author, seed);
            author.script.clear();
            println!("{} names", author.used.len());
        }
    });
}

fn come_back(server: &'static Server, author: &Author, seed: u64) {
    let _roles = Roles {
        server,
        names: author.roles.clone(),
    };
    let source = Database::empty(server);
    if let Err(failure) = source.try_sql(&author.script) {
        panic!("seed {seed}: the test's own script fails: {failure}");
    }
    let before = Snapshot::of(&source).unwrap();
    let dir = tempfile::tempdir().unwrap();
    let archive = dir.path().join("a.sql.gz");
    let file = archive.to_str().unwrap();
    pgstow(["create", &source.url(), "-j", "2", "-o", file]).expect_status(0);
    pgstow(["verify", file]).expect_status(0);
    expect_quiet_listing(file);

    let expect_equal = |copy: &Database, how: &str| {
        if let Some(difference) = differences(&before, &Snapshot::of(copy).unwrap()) {
            panic!("seed {seed}, {how}: {difference}");
        }
    };
    let restored = Database::empty(server);
    for how in ["restored", "restored over it"] {
        pgstow(["restore", file, &restored.url(), "-j", "2", "--yes"]).expect_status(0);
        expect_equal(&restored, how);
    }
    let replayed = Database::empty(server);
    replayed.replay(&archive).unwrap();
    expect_equal(&replayed, "gunzip | psql");
    assert!(!Path::new(TOUCHED).exists(), "psql ran a command");
}

/// The table of contents has one line for an entry, whatever its name, and nothing that a terminal obeys.
fn expect_quiet_listing(file: &str) {
    let json = pgstow(["show", "--json", file]).expect_status(0).stdout();
    let json: serde_json::Value = serde_json::from_str(&json).unwrap();
    let entries = json["entries"].as_array().unwrap().len();
    assert!(entries > 100, "{entries}");
    let shown = pgstow(["show", file]).expect_status(0).stdout();
    let lines = shown.lines().count();
    assert!(
        (entries..entries + 20).contains(&lines),
        "{entries} entries are shown in {lines} lines"
    );
    let control = |c: char| (c.is_control() && c != '\n') || ('\u{2028}'..='\u{2029}').contains(&c);
    assert!(!shown.contains(control), "{shown:?}");
}

/// What a command of psql in these names would leave behind.
const TOUCHED: &str = "/tmp/pgstow_hostile_n";

/// Names are made of these and of the server's keywords.
const PIECES: &[&str] = &[
    "\"",
    "\"\"",
    "'",
    "''",
    "\\",
    "\\\\",
    "\n",
    "\r",
    "\r\n",
    "\t",
    "\x0b",
    "\x0c",
    "\n\\.\n",
    "\\.",
    "\\N",
    "$$",
    "$_$",
    "$_X$",
    "$1",
    "$function$",
    "/*",
    "*/",
    "--",
    "\n--",
    ";",
    ";\n",
    ");",
    "\\connect x",
    "\n\\! touch /tmp/pgstow_hostile_n\n",
    "\\! touch /tmp/pgstow_hostile_n\n",
    "\\q",
    "\n\\q\n",
    "\\g |touch /tmp/pgstow_hostile_n\n",
    "\\gexec",
    "\\restrict x",
    "\n\\unrestrict x\n",
    ":x",
    ":'x'",
    ":\"x\"",
    ":{?x}",
    ":USER",
    ":'DBNAME'",
    " ",
    "  ",
    "\u{a0}",
    "\u{200b}",
    "\u{200d}",
    "\u{202e}",
    "\u{2028}",
    "\u{2029}",
    "\u{feff}",
    "\u{85}",
    "\u{7f}",
    "\x1b[2J",
    "\x01",
    "\u{9b}",
    "é",
    "e\u{301}",
    "漢字",
    "שלום",
    "🐘",
    "👩\u{200d}👧",
    "ẞ",
    "\u{10ffff}",
    "%",
    "%s",
    "%I",
    "%1$s",
    "{",
    "}",
    "{}",
    "[",
    "]",
    "<",
    ">",
    "&",
    "|",
    "`date`",
    "$(date)",
    "a",
    "Z",
    "_",
    "0",
    ".",
    "..",
    ",",
    "(",
    ")",
    "*",
    "?",
    "@",
    "#",
    "!",
    "E'",
    "U&",
    "N'",
    "B'",
    "$",
    "COPY x FROM stdin;\n",
    "DROP TABLE x; ",
    "BEGIN ATOMIC ",
    " END",
    "pg_temp",
    "PUBLIC",
    "CURRENT_USER",
    "NULL",
    "none",
];

/// Writes a script that makes objects.
struct Author {
    major: u32,
    dice: Dice,
    keywords: Vec<String>,
    /// All names so far, without quotes: none is used twice.
    used: HashSet<String>,
    /// In quotes.
    roles: Vec<String>,
    script: String,
}

/// The longest name that a server keeps.
const LONGEST: usize = 63;

impl Author {
    fn new<'a>(major: u32, seed: u64, keywords: impl Iterator<Item = &'a str>) -> Author {
        Author {
            major,
            dice: Dice::of_seed(seed),
            keywords: keywords.map(str::to_owned).collect(),
            used: HashSet::new(),
            roles: Vec::new(),
            script: String::new(),
        }
    }

    /// Up to so many bytes of hostile pieces.
    fn soup(&mut self, longest: usize) -> String {
        if self.dice.throw(12) == 0 {
            let keyword = self.dice.throw(self.keywords.len());
            return self.keywords[keyword].clone();
        }
        // Some names go to the limit, and through a character of several bytes if it is there.
        let pieces = match self.dice.throw(8) {
            0 => longest,
            _ => 1 + self.dice.throw(6),
        };
        let mut soup = String::new();
        for _ in 0..pieces {
            let piece = PIECES[self.dice.throw(PIECES.len())];
            for c in piece.chars() {
                if soup.len() + c.len_utf8() > longest {
                    return soup;
                }
                soup.push(c);
            }
        }
        soup
    }

    /// A new name in double quotes.
    fn name(&mut self) -> String {
        loop {
            let name = self.soup(LONGEST);
            let reserved =
                name.starts_with("pg_") || name.eq_ignore_ascii_case("public") || name == "none";
            if !name.is_empty() && !reserved && self.used.insert(name.clone()) {
                return format!("\"{}\"", name.replace('"', "\"\""));
            }
        }
    }

    /// A new name for an option, where the server keeps `name=value`.
    fn option(&mut self) -> String {
        loop {
            let name = self.name();
            if !name.contains('=') {
                return name;
            }
        }
    }

    /// A text in single quotes.
    fn text(&mut self) -> String {
        let text = self.soup(200);
        format!("E'{}'", text.replace('\\', "\\\\").replace('\'', "\\'"))
    }

    /// A text that fits into a label or argument of the server's.
    fn label(&mut self) -> String {
        let name = self.name();
        let plain = name[1..name.len() - 1].replace("\"\"", "\"");
        format!("E'{}'", plain.replace('\\', "\\\\").replace('\'', "\\'"))
    }

    fn run(&mut self, statement: &str) {
        self.script.push_str(statement);
        self.script.push_str(";\n");
    }

    /// An object with a comment. `create` is what stands before its name, `rest` what stands behind it.
    fn make(&mut self, kind: &str, schema: Option<&str>, rest: &str) -> String {
        let name = match schema {
            Some(schema) => format!("{schema}.{}", self.name()),
            None => self.name(),
        };
        self.run(&format!("CREATE {kind} {name} {rest}"));
        self.comment(kind, &name);
        name
    }

    fn comment(&mut self, kind: &str, object: &str) {
        let text = self.text();
        self.run(&format!("COMMENT ON {kind} {object} IS {text}"));
    }

    /// A schema with an object of every kind in it, and one of every kind that stands in none.
    fn write_schema(&mut self) {
        // PL/pgSQL knows an argument that is named "$2" already.
        self.run("SET check_function_bodies = off");
        let role = self.name();
        self.run(&format!("CREATE ROLE {role}"));
        self.roles.push(role.clone());
        let s = self.make("SCHEMA", None, &format!("AUTHORIZATION {role}"));
        let (label, other) = (self.label(), self.label());
        let enumeration = self.make("TYPE", Some(&s), &format!("AS ENUM ({label}, {other})"));
        let domain = self.write_types(&s);
        let function = self.write_routines(&s, &enumeration);
        self.write_operators(&s, &enumeration);
        self.write_text_search(&s);
        self.write_tables(&s, &role, &enumeration, &label, &domain, &function);
        self.write_foreign(&s, &role);
        self.write_event_trigger(&s);
        self.run(&format!(
            "ALTER DEFAULT PRIVILEGES FOR ROLE {role} IN SCHEMA {s} GRANT SELECT ON TABLES TO {role}, PUBLIC"
        ));
        self.write_large_object(&role);
    }

    fn write_large_object(&mut self, role: &str) {
        let id = 1_000_000 + self.roles.len();
        let text = self.text();
        self.run(&format!(
            "SELECT pg_catalog.lo_from_bytea({id}, pg_catalog.convert_to({text}, 'UTF8'))"
        ));
        self.comment("LARGE OBJECT", &id.to_string());
        self.run(&format!("ALTER LARGE OBJECT {id} OWNER TO {role}"));
    }

    /// A composite, a domain, a range, a base type's shell, a collation, a conversion. Returns the domain.
    fn write_types(&mut self, s: &str) -> String {
        let collation = self.make("COLLATION", Some(s), "(LC_COLLATE = 'C', LC_CTYPE = 'C')");
        let (one, two) = (self.name(), self.name());
        let composite = self.make(
            "TYPE",
            Some(s),
            &format!("AS ({one} text COLLATE {collation}, {two} int)"),
        );
        self.comment("COLUMN", &format!("{composite}.{one}"));
        let (check, default, text) = (self.name(), self.text(), self.text());
        let domain = self.make(
            "DOMAIN",
            Some(s),
            &format!("AS text DEFAULT {default} CONSTRAINT {check} CHECK (VALUE <> {text} || 'x')"),
        );
        self.comment("CONSTRAINT", &format!("{check} ON DOMAIN {domain}"));
        let mut range = "SUBTYPE = text".to_owned();
        if self.major >= 14 {
            range.push_str(&format!(", MULTIRANGE_TYPE_NAME = {s}.{}", self.name()));
        }
        self.make("TYPE", Some(s), &format!("AS RANGE ({range})"));
        let shell = self.name();
        self.run(&format!("CREATE TYPE {s}.{shell}"));
        self.make(
            "CONVERSION",
            Some(s),
            "FOR 'LATIN1' TO 'UTF8' FROM iso8859_1_to_utf8",
        );
        let argument = self.name();
        let cast = self.name();
        let text = self.text();
        self.run(&format!(
            "CREATE FUNCTION {s}.{cast}({argument} {composite}) RETURNS int LANGUAGE sql IMMUTABLE AS $f$ SELECT length({text}) $f$"
        ));
        self.run(&format!(
            "CREATE CAST ({composite} AS int) WITH FUNCTION {s}.{cast}({composite})"
        ));
        self.comment("CAST", &format!("({composite} AS int)"));
        domain
    }

    /// Functions, a procedure, an aggregate, a language. Returns a trigger function.
    fn write_routines(&mut self, s: &str, enumeration: &str) -> String {
        let arguments = (self.name(), self.name(), self.name());
        let (default, setting, body) = (self.text(), self.text(), self.text());
        let path = self.name();
        let function = self.name();
        let quoted_body = format!("\n-- {} $\nSELECT {body}::text", self.dice.throw(10));
        self.run(&format!(
            "CREATE FUNCTION {s}.{function}({} {enumeration}, VARIADIC {} text[] DEFAULT ARRAY[{default}]) RETURNS text LANGUAGE sql \
             SET application_name = {setting} SET search_path = {path}, {s} AS $pgstow_test${quoted_body}$pgstow_test$",
            arguments.0, arguments.1
        ));
        self.comment(
            "FUNCTION",
            &format!("{s}.{function}({enumeration}, text[])"),
        );
        let language = self.make(
            "LANGUAGE",
            None,
            "HANDLER plpgsql_call_handler INLINE plpgsql_inline_handler VALIDATOR plpgsql_validator",
        );
        let table = self.name();
        let (out, text) = (self.name(), self.text());
        self.run(&format!(
            "CREATE FUNCTION {s}.{table}(OUT {out} text, OUT {} int) RETURNS SETOF record LANGUAGE {language} \
             AS $f$ BEGIN RETURN QUERY SELECT {text}::text, 1; END $f$",
            arguments.2
        ));
        if self.major >= 11 {
            let (procedure, argument) = (self.name(), self.name());
            self.run(&format!(
                "CREATE PROCEDURE {s}.{procedure}({argument} text) LANGUAGE plpgsql AS $f$ BEGIN END $f$"
            ));
            self.comment("PROCEDURE", &format!("{s}.{procedure}(text)"));
        }
        if self.major >= 14 {
            let (standard, argument, text) = (self.name(), self.name(), self.text());
            self.run(&format!(
                "CREATE FUNCTION {s}.{standard}({argument} text) RETURNS text LANGUAGE sql \
                 BEGIN ATOMIC SELECT {argument} || {text}; SELECT CASE WHEN true THEN {argument} END; END"
            ));
        }
        let (aggregate, initial) = (self.name(), self.text());
        self.run(&format!(
            "CREATE AGGREGATE {s}.{aggregate}(text) (SFUNC = textcat, STYPE = text, INITCOND = {initial})"
        ));
        self.comment("AGGREGATE", &format!("{s}.{aggregate}(text)"));
        let trigger = self.name();
        self.run(&format!(
            "CREATE FUNCTION {s}.{trigger}() RETURNS trigger LANGUAGE plpgsql AS $f$ BEGIN RETURN NEW; END $f$"
        ));
        format!("{s}.{trigger}")
    }

    /// An operator, whose name knows few characters, an operator family and a class, and an access method.
    fn write_operators(&mut self, s: &str, enumeration: &str) {
        let function = self.name();
        self.run(&format!(
            "CREATE FUNCTION {s}.{function}({enumeration}, {enumeration}) RETURNS boolean LANGUAGE sql IMMUTABLE AS 'SELECT true'"
        ));
        const SYMBOLS: [&str; 10] = ["=", "<", ">", "~", "!", "@", "#", "%", "&", "|"];
        let mut operator = "@".to_owned();
        for _ in 0..8 {
            operator.push_str(SYMBOLS[self.dice.throw(SYMBOLS.len())]);
        }
        self.run(&format!(
            "CREATE OPERATOR {s}.{operator} (PROCEDURE = {s}.{function}, LEFTARG = {enumeration}, RIGHTARG = {enumeration})"
        ));
        self.comment(
            "OPERATOR",
            &format!("{s}.{operator} ({enumeration}, {enumeration})"),
        );
        self.run(&format!(
            "ALTER OPERATOR FAMILY integer_ops USING hash ADD OPERATOR 1 {s}.{operator} ({enumeration}, {enumeration})"
        ));
        let family = self.name();
        self.run(&format!("CREATE OPERATOR FAMILY {s}.{family} USING btree"));
        self.comment("OPERATOR FAMILY", &format!("{s}.{family} USING btree"));
        let class = self.name();
        self.run(&format!(
            "CREATE OPERATOR CLASS {s}.{class} FOR TYPE int4 USING btree FAMILY {s}.{family} AS \
             OPERATOR 1 <, OPERATOR 2 <=, OPERATOR 3 =, OPERATOR 4 >=, OPERATOR 5 >, FUNCTION 1 btint4cmp(int4, int4)"
        ));
        self.comment("OPERATOR CLASS", &format!("{s}.{class} USING btree"));
        let method = self.make("ACCESS METHOD", None, "TYPE INDEX HANDLER bthandler");
        let (loose, class) = (self.name(), self.name());
        self.run(&format!(
            "CREATE OPERATOR FAMILY {s}.{loose} USING {method}"
        ));
        self.run(&format!(
            "CREATE OPERATOR CLASS {s}.{class} DEFAULT FOR TYPE int4 USING {method} FAMILY {s}.{loose} AS \
             OPERATOR 1 <, OPERATOR 2 <=, OPERATOR 3 =, OPERATOR 4 >=, OPERATOR 5 >, FUNCTION 1 btint4cmp(int4, int4)"
        ));
    }

    fn write_text_search(&mut self, s: &str) {
        let parser = self.make(
            "TEXT SEARCH PARSER",
            Some(s),
            "(START = prsd_start, GETTOKEN = prsd_nexttoken, END = prsd_end, LEXTYPES = prsd_lextype)",
        );
        let template = self.make(
            "TEXT SEARCH TEMPLATE",
            Some(s),
            "(INIT = dsimple_init, LEXIZE = dsimple_lexize)",
        );
        let dictionary = self.make(
            "TEXT SEARCH DICTIONARY",
            Some(s),
            &format!("(TEMPLATE = {template})"),
        );
        let configuration = self.make(
            "TEXT SEARCH CONFIGURATION",
            Some(s),
            &format!("(PARSER = {parser})"),
        );
        self.run(&format!(
            "ALTER TEXT SEARCH CONFIGURATION {configuration} ADD MAPPING FOR asciiword, word WITH {dictionary}, simple"
        ));
    }

    fn write_tables(
        &mut self,
        s: &str,
        role: &str,
        enumeration: &str,
        label: &str,
        domain: &str,
        function: &str,
    ) {
        let sequence = self.make("SEQUENCE", Some(s), "");
        let sequence_text = format!("E'{}'", sequence.replace('\\', "\\\\").replace('\'', "\\'"));
        let (id, identity, kind, words, more) = (
            self.name(),
            self.name(),
            self.name(),
            self.name(),
            self.name(),
        );
        let (key, unique, check, not_null, identity_sequence) = (
            self.name(),
            self.name(),
            self.name(),
            self.name(),
            self.name(),
        );
        let (default, checked) = (self.text(), self.text());
        let table = self.make(
            "TABLE",
            Some(s),
            &format!(
                "({id} int DEFAULT nextval({sequence_text}) CONSTRAINT {key} PRIMARY KEY, \
                 {identity} int GENERATED BY DEFAULT AS IDENTITY (SEQUENCE NAME {s}.{identity_sequence}), \
                 {kind} {enumeration} DEFAULT {label}, {words} text DEFAULT {default}, \
                 {more} {domain} CONSTRAINT {not_null} NOT NULL, CONSTRAINT {unique} UNIQUE ({words}, {id}), \
                 CONSTRAINT {check} CHECK ({words} <> {checked} || 'x'))"
            ),
        );
        self.run(&format!("ALTER SEQUENCE {sequence} OWNED BY {table}.{id}"));
        for constraint in [&key, &unique, &check] {
            self.comment("CONSTRAINT", &format!("{constraint} ON {table}"));
        }
        self.comment("COLUMN", &format!("{table}.{words}"));
        for _ in 0..3 {
            let (words_value, more_value) = (self.text(), self.text());
            self.run(&format!(
                "INSERT INTO {table} ({words}, {more}) VALUES ({words_value}, {more_value})"
            ));
        }
        self.run(&format!(
            "GRANT SELECT ({words}), UPDATE ({id}) ON {table} TO {role} WITH GRANT OPTION"
        ));

        let (expression, condition) = (self.text(), self.text());
        let index = self.name();
        self.run(&format!(
            "CREATE INDEX {index} ON {table} (({words} || {expression}), {id}) WHERE {words} <> {condition}"
        ));
        self.comment("INDEX", &format!("{s}.{index}"));
        let statistics = self.name();
        self.run(&format!(
            "CREATE STATISTICS {s}.{statistics} ON {words}, {id} FROM {table}"
        ));
        self.comment("STATISTICS", &format!("{s}.{statistics}"));
        self.run(&format!("CLUSTER {table} USING {key}"));

        let (trigger, argument, other, when) = (self.name(), self.text(), self.text(), self.text());
        self.run(&format!(
            "CREATE TRIGGER {trigger} BEFORE UPDATE OF {words}, {id} ON {table} FOR EACH ROW WHEN (NEW.{words} <> {when}) \
             EXECUTE PROCEDURE {function}({argument}, {other})"
        ));
        self.comment("TRIGGER", &format!("{trigger} ON {table}"));
        let (transition, old, new) = (self.name(), self.name(), self.name());
        self.run(&format!(
            "CREATE TRIGGER {transition} AFTER UPDATE ON {table} REFERENCING OLD TABLE AS {old} NEW TABLE AS {new} \
             FOR EACH STATEMENT EXECUTE PROCEDURE {function}()"
        ));
        let (policy, text) = (self.name(), self.text());
        self.run(&format!(
            "CREATE POLICY {policy} ON {table} FOR SELECT TO {role} USING ({words} <> {text} OR current_user = {text})"
        ));
        self.comment("POLICY", &format!("{policy} ON {table}"));
        let (rule, condition) = (self.name(), self.text());
        self.run(&format!(
            "CREATE RULE {rule} AS ON DELETE TO {table} WHERE OLD.{words} = {condition} DO INSTEAD NOTHING"
        ));
        self.comment("RULE", &format!("{rule} ON {table}"));
        self.run(&format!("ALTER TABLE {table} OWNER TO {role}"));

        let (child, reference, foreign_key, exclusion) =
            (self.name(), self.name(), self.name(), self.name());
        self.run(&format!(
            "CREATE TABLE {s}.{child} ({reference} int CONSTRAINT {foreign_key} REFERENCES {table} ({id}), \
             CONSTRAINT {exclusion} EXCLUDE USING btree ({reference} WITH =)) INHERITS ({table})"
        ));
        self.write_views(s, &table, &words, &id);
        self.write_partitions(s);
        self.write_publications(&table, &words, &id);
    }

    fn write_views(&mut self, s: &str, table: &str, words: &str, id: &str) {
        let (column, second, text) = (self.name(), self.name(), self.text());
        let view = self.make(
            "VIEW",
            Some(s),
            &format!("({column}, {second}) AS SELECT {words} || {text}, {id} FROM {table}"),
        );
        self.comment("COLUMN", &format!("{view}.{column}"));
        let (default, rule) = (self.text(), self.name());
        self.run(&format!(
            "ALTER VIEW {view} ALTER {column} SET DEFAULT {default}"
        ));
        self.run(&format!(
            "CREATE RULE {rule} AS ON INSERT TO {view} DO INSTEAD (SELECT NEW.{column}; SELECT {default}::text;)"
        ));
        let (alias, text) = (self.name(), self.text());
        let seen = self.make(
            "MATERIALIZED VIEW",
            Some(s),
            &format!("AS SELECT {column} AS {alias}, {text}::text AS {second} FROM {view}"),
        );
        let index = self.name();
        self.run(&format!("CREATE INDEX {index} ON {seen} ({alias})"));
    }

    fn write_partitions(&mut self, s: &str) {
        let (column, check) = (self.name(), self.name());
        let (text, value, other) = (self.text(), self.label(), self.label());
        let parent = self.make(
            "TABLE",
            Some(s),
            &format!("({column} text DEFAULT {text}, CONSTRAINT {check} CHECK ({column} <> '')) PARTITION BY LIST ({column})"),
        );
        let (one, two) = (self.name(), self.name());
        self.run(&format!(
            "CREATE TABLE {s}.{one} PARTITION OF {parent} FOR VALUES IN ({value}, {other})"
        ));
        self.run(&format!(
            "CREATE TABLE {s}.{two} PARTITION OF {parent} FOR VALUES IN (NULL)"
        ));
        self.run(&format!(
            "INSERT INTO {parent} VALUES ({value}), ({other}), (NULL)"
        ));
        if self.major >= 11 {
            let key = self.name();
            self.run(&format!(
                "ALTER TABLE {parent} ADD CONSTRAINT {key} UNIQUE ({column})"
            ));
        }
    }

    fn write_publications(&mut self, table: &str, words: &str, id: &str) {
        let filter = match self.major >= 15 {
            true => format!("({words}, {id}) WHERE ({words} <> {})", self.text()),
            false => String::new(),
        };
        let publication = self.make(
            "PUBLICATION",
            None,
            &format!("FOR TABLE ONLY {table} {filter}"),
        );
        let text = self.soup(40);
        let value = text.replace('\\', "\\\\").replace('\'', "\\'");
        let connection = format!("host=127.0.0.1 port=1 application_name='{value}'");
        let connection = connection.replace('\\', "\\\\").replace('\'', "\\'");
        self.make(
            "SUBSCRIPTION",
            None,
            &format!("CONNECTION E'{connection}' PUBLICATION {publication} WITH (connect = false, slot_name = NONE)"),
        );
    }

    fn write_foreign(&mut self, s: &str, role: &str) {
        let options = |author: &mut Author| {
            let (one, two) = (author.option(), author.option());
            format!("OPTIONS ({one} {}, {two} {})", author.text(), author.text())
        };
        let wrapper_options = options(self);
        let wrapper = self.make("FOREIGN DATA WRAPPER", None, &wrapper_options);
        let (sort, version, server_options) = (self.text(), self.text(), options(self));
        let server = self.make(
            "SERVER",
            None,
            &format!(
                "TYPE {sort} VERSION {version} FOREIGN DATA WRAPPER {wrapper} {server_options}"
            ),
        );
        let mapping_options = options(self);
        self.run(&format!(
            "CREATE USER MAPPING FOR {role} SERVER {server} {mapping_options}"
        ));
        let (column, column_options, table_options) = (self.name(), options(self), options(self));
        let table = self.make(
            "FOREIGN TABLE",
            Some(s),
            &format!("({column} text {column_options}) SERVER {server} {table_options}"),
        );
        self.run(&format!("GRANT SELECT ON {table} TO {role}"));
        self.run(&format!("GRANT USAGE ON FOREIGN SERVER {server} TO {role}"));
    }

    /// An event trigger, disabled: it would see every following statement.
    fn write_event_trigger(&mut self, s: &str) {
        let function = self.name();
        self.run(&format!(
            "CREATE FUNCTION {s}.{function}() RETURNS event_trigger LANGUAGE plpgsql AS $f$ BEGIN END $f$"
        ));
        let trigger = self.name();
        self.run(&format!(
            "CREATE EVENT TRIGGER {trigger} ON sql_drop EXECUTE PROCEDURE {s}.{function}()"
        ));
        self.run(&format!("ALTER EVENT TRIGGER {trigger} DISABLE"));
        self.comment("EVENT TRIGGER", &trigger);
    }
}

/// Roles are shared by all databases of a server.
struct Roles {
    server: &'static Server,
    names: Vec<String>,
}

impl Drop for Roles {
    fn drop(&mut self) {
        let drops: Vec<String> = self
            .names
            .iter()
            .map(|role| format!("DROP ROLE IF EXISTS {role};\n"))
            .collect();
        // Whatever is left goes with the server.
        let _ = run_psql(self.server, "postgres", &drops.concat());
    }
}
