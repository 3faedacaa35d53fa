//! The tables that are dumped and restored, as SQL.

/// Each with a primary key, an index, the sequence of a serial column, a check and a foreign key. In two halves, which two sessions can
/// make side by side.
pub(crate) fn many_tables(tables: u32) -> [String; 2] {
    let half = tables / 2;
    [(1, half), (half + 1, tables)].map(|(first, last)| {
        format!(
            "DO $$ BEGIN
                FOR n IN {first}..{last} LOOP
                    EXECUTE format('CREATE TABLE t%s (id bigserial PRIMARY KEY, parent bigint, name text NOT NULL DEFAULT %L, at timestamptz, CHECK (name <> %L))', n, 'x', '');
                    EXECUTE format('CREATE INDEX ON t%s (name, at)', n);
                    IF n > {first} THEN EXECUTE format('ALTER TABLE t%s ADD FOREIGN KEY (parent) REFERENCES t%s', n, n - 1); END IF;
                    IF n % 100 = 0 THEN COMMIT; END IF;
                END LOOP;
            END $$;"
        )
    })
}

/// Twenty rows for each of [`many_tables`].
pub(crate) fn few_rows(tables: u32) -> String {
    format!(
        "DO $$ BEGIN
            FOR n IN 1..{tables} LOOP
                EXECUTE format('INSERT INTO t%s (name, at) SELECT md5(r::text), now() FROM generate_series(1, 20) r', n);
            END LOOP;
        END $$;"
    )
}

/// What [`texts`] fills.
pub(crate) const CREATE_TEXTS: &str =
    "CREATE TABLE texts (id bigint, author int, body text, meta jsonb, sent_at timestamptz);";

/// What [`numbers`] fills.
pub(crate) const CREATE_NUMBERS: &str = "CREATE TABLE numbers (id bigint, a int, b bigint, f float8, n numeric(12, 2), at timestamptz, day date, small smallint);";

/// Sentences of made-up words: each row holds some of many, so that nothing repeats within a compressor's window.
pub(crate) fn texts(rows: u64) -> String {
    format!(
        "SELECT setseed(0.42);
         CREATE TEMP TABLE words AS SELECT n, left(md5((n * n)::text), 2 + n % 8) AS word FROM generate_series(1, 4000) n;
         CREATE TEMP TABLE sentences AS
             SELECT p.n, string_agg(w.word, ' ') AS sentence
             FROM (SELECT n / 9 AS n, 1 + floor(power(random(), 3) * 3999)::int AS pick FROM generate_series(0, 1800000 - 1) n) p
             JOIN words w ON w.n = p.pick GROUP BY 1;
         {CREATE_TEXTS}
         INSERT INTO texts
             SELECT p.n, (random() * 50000)::int, string_agg(s.sentence, '. '),
                 jsonb_build_object('client', left(md5(random()::text), 12), 'score', round(random()::numeric, 4), 'tags', ARRAY['t' || (random() * 99)::int, 'common'], 'seen', random() < 0.5),
                 timestamptz '2025-01-01' + p.n * interval '7 seconds' + random() * interval '5 seconds'
             FROM (SELECT n / 5 AS n, floor(random() * 200000)::int AS pick FROM generate_series(0, {rows}::bigint * 5 - 1) n) p
             JOIN sentences s ON s.n = p.pick GROUP BY 1;"
    )
}

/// Integers, floating point, numerics, timestamps.
pub(crate) fn numbers(rows: u64) -> String {
    format!(
        "SELECT setseed(0.42);
         {CREATE_NUMBERS}
         INSERT INTO numbers {};",
        number_rows(rows)
    )
}

fn number_rows(rows: u64) -> String {
    format!(
        "SELECT n, (random() * 1000000)::int, (random() * 1e15)::bigint, random() * 1000, round((random() * 100000)::numeric, 2),
             timestamptz '2025-01-01' + n * interval '1 second', date '2025-01-01' + (n % 365)::int, (random() * 100)::smallint
         FROM generate_series(1, {rows}) n"
    )
}

/// Numbers with a primary key and three indexes.
pub(crate) fn indexed(rows: u64) -> String {
    format!("{} {}", numbers(rows), INDEXES.join("; "))
}

/// What `indexed` builds on its rows.
pub(crate) const INDEXES: [&str; 4] = [
    "ALTER TABLE numbers ADD PRIMARY KEY (id)",
    "CREATE INDEX ON numbers (a)",
    "CREATE INDEX ON numbers (b)",
    "CREATE INDEX ON numbers (at, small)",
];

/// Noise that does not compress, in a column of 8 KB and in large objects of 64 KB, half of the bytes each.
pub(crate) fn binary(megabytes: u64) -> String {
    let (rows, objects) = (
        megabytes * 1_000_000 / 2 / 8192,
        megabytes * 1_000_000 / 2 / 65_536,
    );
    format!(
        "CREATE TABLE files (id bigint PRIMARY KEY, content bytea);
         ALTER TABLE files ALTER content SET STORAGE EXTERNAL;
         INSERT INTO files
             SELECT n, (SELECT string_agg(sha256(convert_to(n || '.' || k, 'UTF8')), '') FROM generate_series(1, 256) k)
             FROM generate_series(1, {rows}) n;
         SELECT count(lo_from_bytea(0, (SELECT string_agg(content, '' ORDER BY id) FROM files WHERE id BETWEEN 8 * n - 7 AND 8 * n)))
             FROM generate_series(1, {objects}) n;"
    )
}

/// 200 columns of four types, a quarter of them NULL.
pub(crate) fn wide(rows: u64) -> String {
    let columns = (0..200).map(|n| match n % 4 {
        0 => (format!("c{n} int"), format!("(random() * {n}000)::int")),
        1 => (format!("c{n} text"), format!("md5((n * {n})::text)")),
        2 => (
            format!("c{n} numeric"),
            format!("round((random() * n)::numeric, {})", n % 7),
        ),
        _ => (format!("c{n} timestamptz"), "NULL::timestamptz".to_owned()),
    });
    let (columns, values): (Vec<_>, Vec<_>) = columns.unzip();
    format!(
        "SELECT setseed(0.42);
         CREATE TABLE wide ({});
         INSERT INTO wide SELECT {} FROM generate_series(1, {rows}) n;",
        columns.join(", "),
        values.join(", ")
    )
}

/// The numbers in 64 partitions by hash.
pub(crate) fn partitions(rows: u64) -> String {
    format!(
        "SELECT setseed(0.42);
         {CREATE_NUMBERS}
         CREATE TABLE parted (LIKE numbers) PARTITION BY HASH (id);
         DROP TABLE numbers;
         SELECT format('CREATE TABLE parted_%s PARTITION OF parted FOR VALUES WITH (MODULUS 64, REMAINDER %s)', n, n) FROM generate_series(0, 63) n \\gexec
         INSERT INTO parted {};",
        number_rows(rows)
    )
}
