//! What the documents promise to list, they list.

use std::collections::BTreeSet;
use std::process::Command;

use pgstow::objects::Kind;

use crate::harness::server::client_dir;

fn document(name: &str) -> String {
    let path = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join(name);
    std::fs::read_to_string(path).unwrap()
}

/// The long options that `--help` of a program lists.
fn options_of(program: &str) -> BTreeSet<String> {
    let help = Command::new(client_dir().join(program))
        .arg("--help")
        .output()
        .unwrap();
    let help = String::from_utf8(help.stdout).unwrap();
    help.lines()
        .filter(|line| line.trim_start().starts_with('-'))
        .filter_map(|line| line.split_once("--"))
        .map(|(_, rest)| {
            let is_part = |c: char| c.is_ascii_lowercase() || c == '-';
            rest.chars().take_while(|c| is_part(*c)).collect::<String>()
        })
        .collect()
}

#[test]
fn every_option_of_pg_dump_and_its_kin_is_in_the_readme() {
    let readme = document("README.md");
    for (program, least) in [("pg_dump", 60), ("pg_restore", 40), ("pg_dumpall", 40)] {
        let options = options_of(program);
        assert!(options.len() > least, "{program}: {options:?}");
        let section = readme
            .split_once(&format!("### {program}\n"))
            .map(|(_, rest)| rest.split("\n### ").next().unwrap())
            .unwrap_or_else(|| panic!("the README has no section on {program}"));
        let missing: Vec<_> = options
            .iter()
            .filter(|option| {
                !section.contains(&format!("--{option}`"))
                    && !section.contains(&format!("--{option} "))
            })
            .collect();
        assert!(missing.is_empty(), "{program}: {missing:?}");
    }
}

#[test]
fn every_kind_is_in_the_architecture() {
    let architecture = document("ARCHITECTURE.md");
    let table = architecture.split_once("## Kinds of objects").unwrap().1;
    let table = table.split("\n## ").next().unwrap();
    let names: BTreeSet<&str> = table
        .lines()
        .filter_map(|line| line.strip_prefix('|')?.split('|').nth(1))
        .flat_map(|kinds| kinds.split(','))
        .map(str::trim)
        .collect();
    let missing: Vec<_> = Kind::ALL
        .iter()
        .filter(|kind| !names.contains(kind.as_str()))
        .collect();
    assert!(missing.is_empty(), "{missing:?}");
}
