//! Which parts of the selected objects are wanted: `-s -a --section --no-comments` and their like. Pure; the same for a dump
//! and for what is taken out of an archive.

use crate::archive::Section;
use crate::objects::Kind;

/// The parts that the user chose. The default is all of them.
#[derive(Clone, Debug, Default)]
pub struct Parts {
    /// `-s`, `--no-data`: definitions only.
    pub schema_only: bool,
    /// `-a`, `--no-schema`: data only.
    pub data_only: bool,
    /// `--section`; empty for all.
    pub sections: Vec<Section>,
    /// `-x`: no GRANT, no REVOKE.
    pub no_privileges: bool,
    /// `--no-comments`
    pub no_comments: bool,
    /// `--no-security-labels`
    pub no_security_labels: bool,
    /// `--no-policies`: neither policies nor ENABLE ROW LEVEL SECURITY.
    pub no_policies: bool,
    /// `--no-publications`
    pub no_publications: bool,
    /// `--no-subscriptions`
    pub no_subscriptions: bool,
    /// `-B`: no large objects.
    pub no_large_objects: bool,
    /// `-b`: large objects even where `-t`, `-n` or `-e` choose something else.
    pub large_objects: bool,
    /// `--sequence-data`: values of sequences even with `-s`.
    pub sequence_data: bool,
    /// `--statistics`: the planner's, too.
    pub statistics: bool,
    /// `--statistics-only`: the planner's statistics and nothing else.
    pub statistics_only: bool,
}

impl Parts {
    /// Whether an object of this kind is wanted, wherever it stands.
    pub fn includes_kind(&self, kind: Kind) -> bool {
        if kind == Kind::RelationStatistics {
            return self.wants_statistics();
        }
        if self.statistics_only {
            return false;
        }
        if kind == Kind::SequenceSet && self.sequence_data {
            return true;
        }
        let is_wanted_side = match kind.is_data() {
            true => !self.schema_only,
            false => !self.data_only,
        };
        is_wanted_side && self.includes_about(kind)
    }

    /// Whether it is wanted whatever the names that were chosen.
    pub fn includes_in_any_case(&self, kind: Kind) -> bool {
        self.large_objects && matches!(kind, Kind::LargeObject | Kind::LargeObjectData)
    }

    /// Whether the planner's statistics are wanted: they are not unless one asks for them.
    pub fn wants_statistics(&self) -> bool {
        self.statistics || self.statistics_only
    }

    /// Whether entries of this kind are wanted about an object that is.
    pub fn includes_about(&self, kind: Kind) -> bool {
        let unwanted = match kind {
            Kind::Acl | Kind::DefaultAcl => self.no_privileges,
            Kind::Comment => self.no_comments,
            Kind::SecurityLabel => self.no_security_labels,
            Kind::Policy | Kind::RowSecurity => self.no_policies,
            Kind::Publication | Kind::PublicationTable | Kind::PublicationSchema => {
                self.no_publications
            }
            Kind::Subscription => self.no_subscriptions,
            Kind::LargeObject | Kind::LargeObjectData => self.no_large_objects,
            _ => false,
        };
        !unwanted
    }

    /// Whether an object of this kind that stands in this section of the script is wanted. Large objects and values of
    /// sequences are data, wherever a script has them best.
    pub fn includes_section(&self, kind: Kind, section: Section) -> bool {
        let section = match kind {
            Kind::LargeObject | Kind::LargeObjectData | Kind::SequenceSet => Section::Data,
            _ => section,
        };
        self.sections.is_empty() || self.sections.contains(&section)
    }

    /// Whether nothing is left out.
    pub fn is_everything(&self) -> bool {
        self.options().is_empty()
    }

    /// The options that make this less than everything, as one gives them.
    pub fn options(&self) -> Vec<String> {
        let flags = [
            ("--statistics-only", self.statistics_only),
            ("--schema-only", self.schema_only),
            ("--data-only", self.data_only),
            ("--no-privileges", self.no_privileges),
            ("--no-comments", self.no_comments),
            ("--no-security-labels", self.no_security_labels),
            ("--no-policies", self.no_policies),
            ("--no-publications", self.no_publications),
            ("--no-subscriptions", self.no_subscriptions),
            ("--no-large-objects", self.no_large_objects),
        ];
        let sections = self.sections.iter();
        let given = flags.into_iter().filter(|(_, given)| *given);
        sections
            .map(|section| format!("--section={}", section.as_str()))
            .chain(given.map(|(name, _)| name.to_owned()))
            .collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_option_leaves_out_its_kinds_alone() {
        let parts = Parts {
            no_policies: true,
            no_comments: true,
            ..Parts::default()
        };
        for (kind, wanted) in [
            (Kind::Table, true),
            (Kind::TableData, true),
            (Kind::Policy, false),
            (Kind::RowSecurity, false),
            (Kind::Comment, false),
            (Kind::Acl, true),
        ] {
            assert_eq!(parts.includes_kind(kind), wanted, "{kind}");
        }
        assert_eq!(parts.options(), ["--no-comments", "--no-policies"]);
        assert!(Parts::default().is_everything());
    }

    #[test]
    fn sections_are_chosen_by_name() {
        let parts = Parts {
            sections: vec![Section::PostData],
            ..Parts::default()
        };
        assert!(parts.includes_section(Kind::Index, Section::PostData));
        assert!(!parts.includes_section(Kind::TableData, Section::Data));
        assert!(!parts.includes_section(Kind::SequenceSet, Section::PostData));
        assert_eq!(parts.options(), ["--section=post-data"]);
    }
}
