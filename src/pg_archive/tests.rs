//! Tables of contents of every format version, written by hand.

#![allow(clippy::unwrap_used, reason = "tests")]

use super::bytes::Fault;
use super::toc::{Algorithm, Form, read_toc};

fn number(out: &mut Vec<u8>, value: i32) {
    out.push(u8::from(value < 0));
    out.extend(value.unsigned_abs().to_le_bytes());
}

fn text(out: &mut Vec<u8>, value: Option<&str>) {
    match value {
        Some(value) => {
            number(out, i32::try_from(value.len()).unwrap());
            out.extend(value.as_bytes());
        }
        None => number(out, -1),
    }
}

/// An archive of one table's rows, as pg_dump of that format version writes it.
fn archive(minor: u8, form: u8) -> Vec<u8> {
    let mut out = b"PGDMP".to_vec();
    out.extend([1, minor, 0, 4, 8, form]);
    match minor {
        15.. => out.push(1),
        _ => number(&mut out, -1),
    }
    for part in [1, 2, 3, 4, 5, 124, 0] {
        number(&mut out, part);
    }
    for name in ["shop", "10.23", "10.23"] {
        text(&mut out, Some(name));
    }
    number(&mut out, 1);
    number(&mut out, 7);
    number(&mut out, 1);
    for field in ["1259", "16384", "t", "TABLE DATA"] {
        text(&mut out, Some(field));
    }
    number(&mut out, 3);
    text(&mut out, Some(""));
    text(&mut out, Some(""));
    text(&mut out, Some("COPY public.t (a) FROM stdin;\n"));
    text(&mut out, Some("public"));
    text(&mut out, None);
    if minor >= 14 {
        text(&mut out, Some("heap"));
    }
    if minor >= 16 {
        number(&mut out, i32::from(b'r'));
    }
    text(&mut out, Some("ann"));
    text(&mut out, Some("false"));
    text(&mut out, Some("6"));
    text(&mut out, None);
    match form {
        1 => {
            out.push(2);
            out.extend(99_u64.to_le_bytes());
        }
        _ => text(&mut out, Some("7.dat")),
    }
    out
}

#[test]
fn every_format_version_is_read() {
    for minor in 12..=16 {
        for form in [1, 3] {
            let bytes = archive(minor, form);
            let toc = read_toc(&bytes[..]).unwrap();
            assert_eq!(toc.length, bytes.len() as u64);
            assert_eq!(toc.head.version, (1, minor));
            assert_eq!(toc.head.compression, Algorithm::Gzip);
            assert_eq!(toc.head.created, [2024, 6, 4, 3, 2, 1]);
            assert_eq!(toc.head.form == Form::Custom, form == 1);
            let entry = &toc.entries[0];
            assert_eq!((entry.dump_id, entry.desc.as_str()), (7, "TABLE DATA"));
            assert_eq!(entry.owner.as_deref(), Some(&b"ann"[..]));
            assert_eq!(entry.depends_on, [6]);
            assert_eq!(entry.relkind, (minor >= 16).then_some(b'r'));
            assert_eq!(entry.access_method.is_some(), minor >= 14);
        }
    }
}

#[test]
fn other_versions_are_refused_and_cut_ones_are_damaged() {
    for minor in [11, 17] {
        assert!(matches!(
            read_toc(&archive(minor, 1)[..]),
            Err(Fault::Unsupported(_))
        ));
    }
    let whole = archive(16, 1);
    for end in 0..whole.len() {
        assert!(
            matches!(read_toc(&whole[..end]), Err(Fault::Damaged(_))),
            "{end}"
        );
    }
}

#[test]
fn hostile_tables_of_contents_end_in_an_error() {
    let whole = archive(14, 1);
    for at in 5..whole.len() {
        for value in [0, 1, 0x7f, 0xff] {
            let mut bytes = whole.clone();
            bytes[at] = value;
            // Whatever comes out, it neither panics nor takes memory that is not there.
            let _ = read_toc(&bytes[..]);
        }
    }
}
