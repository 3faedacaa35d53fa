//! Kinds of database objects: one file per kind, which holds its struct, the one query that reads
//! it, and the pure functions that render it as SQL.
//!
//! This file holds what the kinds have in common: their list ([`Kind`], [`Object`]), what each must
//! be able to tell about itself ([`DumpObject`]), and what rendering gives ([`Rendered`]).

pub mod quote;

pub(crate) mod access_method;
pub(crate) mod acl;
pub(crate) mod aggregate;
pub(crate) mod attribute;
pub(crate) mod attribute_default;
pub(crate) mod base_type;
pub(crate) mod cast;
pub(crate) mod catalog_query;
pub(crate) mod changed_privileges;
pub(crate) mod check_constraint;
pub(crate) mod collation;
pub(crate) mod composite_type;
pub(crate) mod constraint;
pub(crate) mod conversion;
pub(crate) mod database;
pub(crate) mod default_acl;
pub(crate) mod deparsed;
pub(crate) mod domain;
pub(crate) mod enum_type;
pub(crate) mod event_trigger;
pub(crate) mod extended_statistics;
pub(crate) mod extension;
pub(crate) mod foreign_data_wrapper;
pub(crate) mod foreign_key;
pub(crate) mod foreign_server;
pub(crate) mod function;
pub(crate) mod index;
pub(crate) mod index_attach;
pub(crate) mod language;
pub(crate) mod large_object;
pub(crate) mod materialized_view;
mod named;
mod oid_hash;
pub(crate) mod operator;
pub(crate) mod operator_class;
pub(crate) mod operator_family;
pub(crate) mod operator_family_member;
pub(crate) mod parameter_acl;
pub(crate) mod plain_definition;
pub(crate) mod policy;
pub(crate) mod publication;
pub(crate) mod publication_schema;
pub(crate) mod publication_table;
pub(crate) mod range_type;
mod relation;
pub(crate) mod relation_statistics;
pub(crate) mod role;
pub(crate) mod role_membership;
pub(crate) mod role_setting;
pub(crate) mod row_security;
pub(crate) mod rule;
pub(crate) mod schema;
pub(crate) mod security_label;
pub(crate) mod sequence;
pub(crate) mod sequence_owner;
pub(crate) mod sequence_set;
pub(crate) mod shell_type;
pub(crate) mod side_comment;
pub(crate) mod subscription;
pub(crate) mod table;
pub(crate) mod table_attach;
pub(crate) mod table_data;
pub(crate) mod tablespace;
pub(crate) mod text_search_configuration;
pub(crate) mod text_search_dictionary;
pub(crate) mod text_search_parser;
pub(crate) mod text_search_template;
pub(crate) mod transform;
pub(crate) mod trigger;
pub(crate) mod user_mapping;
pub(crate) mod view;

use std::fmt;

use tokio_postgres::types::{FromSql, IsNull, ToSql, Type, private::BytesMut, to_sql_checked};

pub use crate::archive::Section;
use crate::conn::ServerVersion;
pub use access_method::AccessMethod;
pub use aggregate::Aggregate;
pub(crate) use attribute::is_attribute_version;
pub use attribute_default::AttributeDefault;
pub use base_type::BaseType;
pub use cast::Cast;
pub use changed_privileges::ChangedPrivileges;
pub use check_constraint::CheckConstraint;
pub use collation::Collation;
pub use composite_type::CompositeType;
pub use constraint::Constraint;
pub use conversion::Conversion;
pub use database::Database;
pub use default_acl::DefaultAcl;
pub use domain::{Domain, DomainDefault};
pub use enum_type::EnumType;
pub use event_trigger::EventTrigger;
pub use extended_statistics::ExtendedStatistics;
pub use extension::Extension;
pub use foreign_data_wrapper::ForeignDataWrapper;
pub use foreign_key::ForeignKey;
pub use foreign_server::ForeignServer;
pub use function::{Function, FunctionBody};
pub use index::Index;
pub use index_attach::IndexAttach;
pub use language::Language;
pub use large_object::{LargeObject, LargeObjectData};
pub use materialized_view::{MaterializedView, MaterializedViewData};
pub use oid_hash::{OidHasher, OidMap, OidSet};
pub use operator::Operator;
pub use operator_class::OperatorClass;
pub use operator_family::OperatorFamily;
pub use operator_family_member::OperatorFamilyMember;
pub use parameter_acl::ParameterAcl;
pub use policy::Policy;
pub use publication::Publication;
pub use publication_schema::PublicationSchema;
pub use publication_table::PublicationTable;
pub use range_type::RangeType;
pub use relation_statistics::RelationStatistics;
pub use role::Role;
pub use role_membership::RoleMembership;
pub use role_setting::RoleSetting;
pub use row_security::RowSecurity;
pub use rule::Rule;
pub use schema::Schema;
pub use sequence::Sequence;
pub use sequence_owner::SequenceOwner;
pub use sequence_set::SequenceSet;
pub use shell_type::ShellType;
pub use subscription::Subscription;
pub use table::Table;
pub use table_attach::TableAttach;
pub use table_data::TableData;
pub use tablespace::Tablespace;
pub use text_search_configuration::TextSearchConfiguration;
pub use text_search_dictionary::TextSearchDictionary;
pub use text_search_parser::TextSearchParser;
pub use text_search_template::TextSearchTemplate;
pub use transform::Transform;
pub use trigger::Trigger;
pub use user_mapping::UserMapping;
pub use view::{View, ViewQuery};

/// An object identifier. Valid in one database only; never sorted by, never written to an archive
/// (large objects excepted, whose OID is their name).
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Oid(pub u32);

impl Oid {
    /// Objects below are made by initdb (`FirstNormalObjectId`, access/transam.h).
    pub const FIRST_NORMAL: Oid = Oid(16384);
}

impl fmt::Display for Oid {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

impl<'a> FromSql<'a> for Oid {
    fn from_sql(
        ty: &Type,
        raw: &'a [u8],
    ) -> Result<Self, Box<dyn std::error::Error + Sync + Send>> {
        u32::from_sql(ty, raw).map(Oid)
    }

    fn accepts(ty: &Type) -> bool {
        <u32 as FromSql>::accepts(ty)
    }
}

impl ToSql for Oid {
    fn to_sql(
        &self,
        ty: &Type,
        out: &mut BytesMut,
    ) -> Result<IsNull, Box<dyn std::error::Error + Sync + Send>> {
        self.0.to_sql(ty, out)
    }

    fn accepts(ty: &Type) -> bool {
        <u32 as ToSql>::accepts(ty)
    }

    to_sql_checked!();
}

/// The OIDs of the system catalogs themselves: the same in every version (their headers fix them).
pub mod catalog {
    use super::Oid;

    /// `pg_type`
    pub const PG_TYPE: Oid = Oid(1247);
    /// `pg_proc` (functions, procedures, aggregates)
    pub const PG_PROC: Oid = Oid(1255);
    /// `pg_class`
    pub const PG_CLASS: Oid = Oid(1259);
    /// `pg_attrdef`
    pub const PG_ATTRDEF: Oid = Oid(2604);
    /// `pg_constraint`
    pub const PG_CONSTRAINT: Oid = Oid(2606);
    /// `pg_largeobject`, the class under which pg_depend and pg_description know large objects
    pub const PG_LARGEOBJECT: Oid = Oid(2613);
    /// `pg_namespace`
    pub const PG_NAMESPACE: Oid = Oid(2615);
    /// `pg_rewrite`
    pub const PG_REWRITE: Oid = Oid(2618);
    /// `pg_trigger`
    pub const PG_TRIGGER: Oid = Oid(2620);
    /// `pg_default_acl`
    pub const PG_DEFAULT_ACL: Oid = Oid(826);
    /// `pg_extension`
    pub const PG_EXTENSION: Oid = Oid(3079);
    /// `pg_policy`
    pub const PG_POLICY: Oid = Oid(3256);
    /// `pg_authid`
    pub const PG_AUTHID: Oid = Oid(1260);
    /// `pg_tablespace`
    pub const PG_TABLESPACE: Oid = Oid(1213);
    /// `pg_parameter_acl`
    pub const PG_PARAMETER_ACL: Oid = Oid(6243);
    /// `pg_am`
    pub const PG_AM: Oid = Oid(2601);
    /// `pg_amop`
    pub const PG_AMOP: Oid = Oid(2602);
    /// `pg_amproc`
    pub const PG_AMPROC: Oid = Oid(2603);
    /// `pg_cast`
    pub const PG_CAST: Oid = Oid(2605);
    /// `pg_collation`
    pub const PG_COLLATION: Oid = Oid(3456);
    /// `pg_conversion`
    pub const PG_CONVERSION: Oid = Oid(2607);
    /// `pg_event_trigger`
    pub const PG_EVENT_TRIGGER: Oid = Oid(3466);
    /// `pg_foreign_data_wrapper`
    pub const PG_FOREIGN_DATA_WRAPPER: Oid = Oid(2328);
    /// `pg_foreign_server`
    pub const PG_FOREIGN_SERVER: Oid = Oid(1417);
    /// `pg_language`
    pub const PG_LANGUAGE: Oid = Oid(2612);
    /// `pg_opclass`
    pub const PG_OPCLASS: Oid = Oid(2616);
    /// `pg_operator`
    pub const PG_OPERATOR: Oid = Oid(2617);
    /// `pg_opfamily`
    pub const PG_OPFAMILY: Oid = Oid(2753);
    /// `pg_publication`
    pub const PG_PUBLICATION: Oid = Oid(6104);
    /// `pg_publication_namespace`
    pub const PG_PUBLICATION_NAMESPACE: Oid = Oid(6237);
    /// `pg_publication_rel`
    pub const PG_PUBLICATION_REL: Oid = Oid(6106);
    /// `pg_statistic_ext`
    pub const PG_STATISTIC_EXT: Oid = Oid(3381);
    /// `pg_subscription`
    pub const PG_SUBSCRIPTION: Oid = Oid(6100);
    /// `pg_transform`
    pub const PG_TRANSFORM: Oid = Oid(3576);
    /// `pg_ts_config`
    pub const PG_TS_CONFIG: Oid = Oid(3602);
    /// `pg_ts_dict`
    pub const PG_TS_DICT: Oid = Oid(3600);
    /// `pg_ts_parser`
    pub const PG_TS_PARSER: Oid = Oid(3601);
    /// `pg_ts_template`
    pub const PG_TS_TEMPLATE: Oid = Oid(3764);
    /// `pg_user_mapping`
    pub const PG_USER_MAPPING: Oid = Oid(1418);
}

/// What a row of a system catalog is known by in `pg_depend`: (`classid`, `objid`).
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct CatalogId {
    /// The catalog, see [`catalog`].
    pub class: Oid,
    /// The row's OID.
    pub oid: Oid,
}

impl CatalogId {
    /// A row of a catalog.
    pub const fn new(class: Oid, oid: Oid) -> Self {
        CatalogId { class, oid }
    }
}

/// What identifies an object among those of one run.
///
/// Most are a catalog row of their own. Data, sequence values and the like belong to the row of
/// their table and have none: `part` tells them from it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ObjectId {
    /// The catalog row.
    pub catalog: CatalogId,
    /// Which of the objects that share the row.
    pub part: Part,
}

/// The objects that can share a catalog row.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Part {
    /// The definition itself.
    Definition,
    /// The rows of a table, the value of a sequence, the rows of a materialized view.
    Data,
    /// What binds it to a parent: ATTACH PARTITION, index ATTACH PARTITION, OWNED BY.
    Attach,
    /// A shell of a type, made before the functions that the type needs.
    Shell,
    /// What a later statement can give it: the body of a function, the default of a domain.
    Late,
    /// That a table's policies are in force.
    RowSecurity,
    /// The planner's statistics on it.
    Statistics,
    /// How its privileges, or those of the column of this number, were changed: of what is not of this dump.
    Privileges(i32),
}

impl ObjectId {
    /// The definition that a catalog row stands for.
    pub const fn definition(class: Oid, oid: Oid) -> Self {
        ObjectId {
            catalog: CatalogId::new(class, oid),
            part: Part::Definition,
        }
    }

    /// Another part of the same catalog row.
    #[must_use]
    pub const fn with_part(self, part: Part) -> Self {
        ObjectId {
            catalog: self.catalog,
            part,
        }
    }
}

/// The kinds of TOC entries, in the order in which a script has them where no dependency says
/// otherwise. The order of the variants IS the type priority (`order` sorts by it).
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Kind {
    /// CREATE ROLE, of a cluster
    Role,
    /// CREATE TABLESPACE, of a cluster
    Tablespace,
    /// ALTER ROLE ... SET, of a cluster
    RoleSetting,
    /// GRANT of a role, of a cluster
    RoleMembership,
    /// GRANT on a setting, of a cluster
    ParameterAcl,
    /// CREATE SCHEMA
    Schema,
    /// CREATE LANGUAGE
    Language,
    /// CREATE COLLATION
    Collation,
    /// CREATE EXTENSION
    Extension,
    /// CREATE TYPE ... AS ENUM
    EnumType,
    /// CREATE TYPE without definition, before functions that need the type
    ShellType,
    /// CREATE TYPE ... AS (...)
    CompositeType,
    /// CREATE TYPE of a base type
    BaseType,
    /// CREATE TYPE ... AS RANGE
    RangeType,
    /// CREATE CAST: before all that holds expressions, for nothing in `pg_depend` says that an expression needs a cast
    Cast,
    /// CREATE DOMAIN
    Domain,
    /// CREATE FUNCTION
    Function,
    /// CREATE PROCEDURE
    Procedure,
    /// CREATE AGGREGATE
    Aggregate,
    /// CREATE TRANSFORM
    Transform,
    /// CREATE ACCESS METHOD
    AccessMethod,
    /// CREATE OPERATOR
    Operator,
    /// CREATE OPERATOR FAMILY
    OperatorFamily,
    /// CREATE OPERATOR CLASS
    OperatorClass,
    /// ALTER OPERATOR FAMILY ... ADD, of a family that is not of the dump
    OperatorFamilyMember,
    /// CREATE CONVERSION
    Conversion,
    /// CREATE TEXT SEARCH PARSER
    TextSearchParser,
    /// CREATE TEXT SEARCH TEMPLATE
    TextSearchTemplate,
    /// CREATE TEXT SEARCH DICTIONARY
    TextSearchDictionary,
    /// CREATE TEXT SEARCH CONFIGURATION
    TextSearchConfiguration,
    /// CREATE FOREIGN DATA WRAPPER
    ForeignDataWrapper,
    /// CREATE SERVER
    ForeignServer,
    /// CREATE USER MAPPING
    UserMapping,
    /// CREATE SEQUENCE
    Sequence,
    /// CREATE TABLE
    Table,
    /// CREATE FOREIGN TABLE
    ForeignTable,
    /// ALTER TABLE ... ATTACH PARTITION
    TableAttach,
    /// A column default that could not stand in its CREATE TABLE
    Default,
    /// ALTER SEQUENCE ... OWNED BY
    SequenceOwner,
    /// CREATE VIEW
    View,
    /// CREATE OR REPLACE VIEW over a view that had to be made as a dummy first
    ViewQuery,
    /// ALTER DOMAIN ... SET DEFAULT, of a default that could not stand in CREATE DOMAIN
    DomainDefault,
    /// CREATE OR REPLACE FUNCTION or PROCEDURE over one that had to be made without its body first
    FunctionBody,
    /// CREATE MATERIALIZED VIEW
    MaterializedView,
    /// COPY of a table
    TableData,
    /// lo_create of large objects
    LargeObject,
    /// The contents of large objects
    LargeObjectData,
    /// setval
    SequenceSet,
    /// CHECK (and, from 18, not-null) constraints that could not stand in their table or domain
    CheckConstraint,
    /// CREATE INDEX
    Index,
    /// PRIMARY KEY, UNIQUE, EXCLUDE
    Constraint,
    /// ALTER INDEX ... ATTACH PARTITION
    IndexAttach,
    /// CREATE STATISTICS
    ExtendedStatistics,
    /// CREATE RULE
    Rule,
    /// CREATE TRIGGER
    Trigger,
    /// FOREIGN KEY
    ForeignKey,
    /// CREATE POLICY
    Policy,
    /// ENABLE ROW LEVEL SECURITY
    RowSecurity,
    /// CREATE PUBLICATION
    Publication,
    /// ALTER PUBLICATION ... ADD TABLE
    PublicationTable,
    /// ALTER PUBLICATION ... ADD TABLES IN SCHEMA
    PublicationSchema,
    /// CREATE SUBSCRIPTION
    Subscription,
    /// COMMENT ON
    Comment,
    /// SECURITY LABEL ON
    SecurityLabel,
    /// GRANT and REVOKE
    Acl,
    /// ALTER DEFAULT PRIVILEGES
    DefaultAcl,
    /// CREATE EVENT TRIGGER
    EventTrigger,
    /// REFRESH MATERIALIZED VIEW
    MaterializedViewData,
    /// pg_restore_relation_stats, pg_restore_attribute_stats
    RelationStatistics,
}

impl Kind {
    /// Every kind, in order.
    pub const ALL: [Kind; 69] = [
        Kind::Role,
        Kind::Tablespace,
        Kind::RoleSetting,
        Kind::RoleMembership,
        Kind::ParameterAcl,
        Kind::Schema,
        Kind::Language,
        Kind::Collation,
        Kind::Extension,
        Kind::EnumType,
        Kind::ShellType,
        Kind::CompositeType,
        Kind::BaseType,
        Kind::RangeType,
        Kind::Cast,
        Kind::Domain,
        Kind::Function,
        Kind::Procedure,
        Kind::Aggregate,
        Kind::Transform,
        Kind::AccessMethod,
        Kind::Operator,
        Kind::OperatorFamily,
        Kind::OperatorClass,
        Kind::OperatorFamilyMember,
        Kind::Conversion,
        Kind::TextSearchParser,
        Kind::TextSearchTemplate,
        Kind::TextSearchDictionary,
        Kind::TextSearchConfiguration,
        Kind::ForeignDataWrapper,
        Kind::ForeignServer,
        Kind::UserMapping,
        Kind::Sequence,
        Kind::Table,
        Kind::ForeignTable,
        Kind::TableAttach,
        Kind::Default,
        Kind::SequenceOwner,
        Kind::View,
        Kind::ViewQuery,
        Kind::DomainDefault,
        Kind::FunctionBody,
        Kind::MaterializedView,
        Kind::TableData,
        Kind::LargeObject,
        Kind::LargeObjectData,
        Kind::SequenceSet,
        Kind::CheckConstraint,
        Kind::Index,
        Kind::Constraint,
        Kind::IndexAttach,
        Kind::ExtendedStatistics,
        Kind::Rule,
        Kind::Trigger,
        Kind::ForeignKey,
        Kind::Policy,
        Kind::RowSecurity,
        Kind::Publication,
        Kind::PublicationTable,
        Kind::PublicationSchema,
        Kind::Subscription,
        Kind::Comment,
        Kind::SecurityLabel,
        Kind::Acl,
        Kind::DefaultAcl,
        Kind::EventTrigger,
        Kind::MaterializedViewData,
        Kind::RelationStatistics,
    ];

    /// The kind's name in the archive's table of contents: pg_dump's words where it has them.
    pub fn as_str(self) -> &'static str {
        match self {
            Kind::Role => "ROLE",
            Kind::Tablespace => "TABLESPACE",
            Kind::RoleSetting => "ROLE SETTING",
            Kind::RoleMembership => "ROLE MEMBERSHIP",
            Kind::ParameterAcl => "PARAMETER ACL",
            Kind::Schema => "SCHEMA",
            Kind::Language => "PROCEDURAL LANGUAGE",
            Kind::Collation => "COLLATION",
            Kind::Extension => "EXTENSION",
            Kind::EnumType => "ENUM",
            Kind::ShellType => "SHELL TYPE",
            Kind::CompositeType => "TYPE",
            Kind::BaseType => "BASE TYPE",
            Kind::RangeType => "RANGE TYPE",
            Kind::Domain => "DOMAIN",
            Kind::Function => "FUNCTION",
            Kind::Procedure => "PROCEDURE",
            Kind::Aggregate => "AGGREGATE",
            Kind::Cast => "CAST",
            Kind::Transform => "TRANSFORM",
            Kind::AccessMethod => "ACCESS METHOD",
            Kind::Operator => "OPERATOR",
            Kind::OperatorFamily => "OPERATOR FAMILY",
            Kind::OperatorClass => "OPERATOR CLASS",
            Kind::OperatorFamilyMember => "OPERATOR FAMILY MEMBER",
            Kind::Conversion => "CONVERSION",
            Kind::TextSearchParser => "TEXT SEARCH PARSER",
            Kind::TextSearchTemplate => "TEXT SEARCH TEMPLATE",
            Kind::TextSearchDictionary => "TEXT SEARCH DICTIONARY",
            Kind::TextSearchConfiguration => "TEXT SEARCH CONFIGURATION",
            Kind::ForeignDataWrapper => "FOREIGN DATA WRAPPER",
            Kind::ForeignServer => "SERVER",
            Kind::UserMapping => "USER MAPPING",
            Kind::Sequence => "SEQUENCE",
            Kind::Table => "TABLE",
            Kind::ForeignTable => "FOREIGN TABLE",
            Kind::TableAttach => "TABLE ATTACH",
            Kind::Default => "DEFAULT",
            Kind::SequenceOwner => "SEQUENCE OWNED BY",
            Kind::View => "VIEW",
            Kind::ViewQuery => "VIEW QUERY",
            Kind::DomainDefault => "DOMAIN DEFAULT",
            Kind::FunctionBody => "FUNCTION BODY",
            Kind::MaterializedView => "MATERIALIZED VIEW",
            Kind::TableData => "TABLE DATA",
            Kind::LargeObject => "BLOB METADATA",
            Kind::LargeObjectData => "BLOBS",
            Kind::SequenceSet => "SEQUENCE SET",
            Kind::CheckConstraint => "CHECK CONSTRAINT",
            Kind::Index => "INDEX",
            Kind::Constraint => "CONSTRAINT",
            Kind::IndexAttach => "INDEX ATTACH",
            Kind::ExtendedStatistics => "STATISTICS",
            Kind::Rule => "RULE",
            Kind::Trigger => "TRIGGER",
            Kind::ForeignKey => "FK CONSTRAINT",
            Kind::Policy => "POLICY",
            Kind::RowSecurity => "ROW SECURITY",
            Kind::Publication => "PUBLICATION",
            Kind::PublicationTable => "PUBLICATION TABLE",
            Kind::PublicationSchema => "PUBLICATION TABLES IN SCHEMA",
            Kind::Subscription => "SUBSCRIPTION",
            Kind::Comment => "COMMENT",
            Kind::SecurityLabel => "SECURITY LABEL",
            Kind::Acl => "ACL",
            Kind::DefaultAcl => "DEFAULT ACL",
            Kind::EventTrigger => "EVENT TRIGGER",
            Kind::MaterializedViewData => "MATERIALIZED VIEW DATA",
            Kind::RelationStatistics => "STATISTICS DATA",
        }
    }

    /// Whether it is data in the sense of `--data-only` and `--schema-only`: pg_dump counts large objects,
    /// sequence values and refreshes to it.
    pub fn is_data(self) -> bool {
        match self {
            Kind::TableData
            | Kind::LargeObject
            | Kind::LargeObjectData
            | Kind::SequenceSet
            | Kind::MaterializedViewData
            | Kind::RelationStatistics => true,
            Kind::Role
            | Kind::Tablespace
            | Kind::RoleSetting
            | Kind::RoleMembership
            | Kind::ParameterAcl
            | Kind::Schema
            | Kind::Language
            | Kind::Collation
            | Kind::Extension
            | Kind::EnumType
            | Kind::ShellType
            | Kind::CompositeType
            | Kind::BaseType
            | Kind::RangeType
            | Kind::Domain
            | Kind::Function
            | Kind::Procedure
            | Kind::Aggregate
            | Kind::Cast
            | Kind::Transform
            | Kind::AccessMethod
            | Kind::Operator
            | Kind::OperatorFamily
            | Kind::OperatorClass
            | Kind::OperatorFamilyMember
            | Kind::Conversion
            | Kind::TextSearchParser
            | Kind::TextSearchTemplate
            | Kind::TextSearchDictionary
            | Kind::TextSearchConfiguration
            | Kind::ForeignDataWrapper
            | Kind::ForeignServer
            | Kind::UserMapping
            | Kind::Sequence
            | Kind::Table
            | Kind::ForeignTable
            | Kind::TableAttach
            | Kind::Default
            | Kind::SequenceOwner
            | Kind::View
            | Kind::ViewQuery
            | Kind::DomainDefault
            | Kind::FunctionBody
            | Kind::MaterializedView
            | Kind::CheckConstraint
            | Kind::Index
            | Kind::Constraint
            | Kind::IndexAttach
            | Kind::ExtendedStatistics
            | Kind::Rule
            | Kind::Trigger
            | Kind::ForeignKey
            | Kind::Policy
            | Kind::RowSecurity
            | Kind::Publication
            | Kind::PublicationTable
            | Kind::PublicationSchema
            | Kind::Subscription
            | Kind::Comment
            | Kind::SecurityLabel
            | Kind::Acl
            | Kind::DefaultAcl
            | Kind::EventTrigger => false,
        }
    }

    /// The kind of a name that [`Kind::as_str`] gave.
    pub fn parse(name: &str) -> Option<Kind> {
        Kind::ALL.into_iter().find(|kind| kind.as_str() == name)
    }
}

impl fmt::Display for Kind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// How strongly a statement locks a relation while it runs, as far as the parallel restore must
/// know (manual: "Explicit Locking").
#[derive(
    Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, serde::Serialize, serde::Deserialize,
)]
#[serde(rename_all = "lowercase")]
pub enum LockStrength {
    /// Several such statements may run on the relation at once (CREATE INDEX).
    Shared,
    /// One at a time (ALTER TABLE, CREATE TRIGGER, foreign keys on both of their tables).
    Exclusive,
}

/// What an object renders to. Every string is ONE statement with its semicolon, without a newline
/// at the end; `dump` passes each through the lexical guard.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Rendered {
    /// The statements that create the object, without owner, comments and privileges.
    pub create: Vec<String>,
    /// The statement that drops it, with IF EXISTS, without CASCADE. `None` where dropping the
    /// parent suffices or nothing is to be dropped (comments, data, triggers' tables...).
    pub drop: Option<String>,
    /// ALTER ... OWNER TO.
    pub alter_owner: Option<String>,
    /// COMMENT ON the object and its parts.
    pub comments: Vec<String>,
    /// GRANT and REVOKE, in the order in which they must run.
    pub acl: Vec<String>,
}

/// What rendering may ask about the rest of the dump.
pub struct RenderContext<'a> {
    /// The source server.
    pub server: ServerVersion,
    /// Objects that loop repair took out of the one they are normally printed in (defaults, check
    /// constraints, the query of a view): see [`crate::order`].
    pub separate: &'a OidSet<ObjectId>,
}

/// How the user wants definitions.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct RenderOptions {
    /// `--no-tablespaces`
    pub no_tablespaces: bool,
    /// `--no-table-access-method`
    pub no_table_access_method: bool,
    /// `--no-toast-compression`
    pub no_toast_compression: bool,
    /// `--load-via-partition-root`
    pub load_via_partition_root: bool,
    /// `--subscription-passwords`: connection strings keep their passwords.
    pub subscription_passwords: bool,
}

impl RenderContext<'_> {
    /// Whether the object must be printed by itself, outside of its owner's CREATE statement.
    pub fn is_separate(&self, id: ObjectId) -> bool {
        self.separate.contains(&id)
    }
}

/// What every object can tell about itself. All of it is pure.
pub trait DumpObject {
    /// Its kind.
    fn kind(&self) -> Kind;

    /// What identifies it.
    fn id(&self) -> ObjectId;

    /// Every catalog row that this object accounts for: its own and those that come and go with it
    /// (a table's row type, array type and TOAST table; a constraint's index; a view's ON SELECT rule).
    /// `pg_depend` edges of these rows become edges of this object; the catalog sweep ticks them off.
    /// Rows shared by two objects (a table and its data) are claimed by the definition alone.
    fn claims(&self) -> Vec<CatalogId> {
        vec![self.id().catalog]
    }

    /// The schema it lies in; `None` for schemas, extensions, large objects.
    fn schema(&self) -> Option<&str>;

    /// Its name in the table of contents, unique within kind and schema in practice: functions with
    /// their identity arguments, a trigger as "table trigger", as in pg_dump's TOC.
    fn tag(&self) -> String;

    /// Its owner's role name. `None` for kinds without an owner of their own.
    fn owner(&self) -> Option<&str> {
        None
    }

    /// Where it belongs.
    fn section(&self) -> Section;

    /// What it needs beyond what `pg_depend` says of the rows it claims.
    fn extra_dependencies(&self) -> Vec<ObjectId> {
        Vec::new()
    }

    /// The object whose CREATE statement prints this one, unless a dependency loop forbids it: a
    /// default's or check's table or domain, a view for its query. Loop repair turns the edge round.
    fn folded_into(&self) -> Option<ObjectId> {
        None
    }

    /// The table that selection (`-t`, `-T`), data and locks go by: an index's, trigger's, policy's
    /// table; the object's own row for tables, views, sequences; `None` for others.
    fn relation(&self) -> Option<ObjectId> {
        None
    }

    /// Of the rows that `pg_depend` says it needs, those that it needs even without the part that can come late
    /// ([`Part::Late`]); `None` if nothing of it can.
    fn needed_at_once(&self) -> Option<&[CatalogId]> {
        None
    }

    /// Relations (tables) that its create statements lock, and how.
    fn locks(&self) -> Vec<(ObjectId, LockStrength)> {
        Vec::new()
    }

    /// Its SQL. `create` is empty where the owner prints it (see [`DumpObject::folded_into`]).
    fn render(&self, context: &RenderContext<'_>) -> Rendered;
}

/// An object of any kind. A new kind is a new variant: nothing compiles until every module knows it. There may be half a
/// million of them, and they are moved about: each takes the room that its own kind needs.
#[derive(Clone, Debug)]
#[allow(
    missing_docs,
    reason = "each variant is named after the struct it holds"
)]
pub enum Object {
    AccessMethod(Box<AccessMethod>),
    Aggregate(Box<Aggregate>),
    AttributeDefault(Box<AttributeDefault>),
    BaseType(Box<BaseType>),
    Cast(Box<Cast>),
    ChangedPrivileges(Box<ChangedPrivileges>),
    CheckConstraint(Box<CheckConstraint>),
    Collation(Box<Collation>),
    CompositeType(Box<CompositeType>),
    Constraint(Box<Constraint>),
    Conversion(Box<Conversion>),
    DefaultAcl(Box<DefaultAcl>),
    Domain(Box<Domain>),
    DomainDefault(Box<DomainDefault>),
    EnumType(Box<EnumType>),
    EventTrigger(Box<EventTrigger>),
    ExtendedStatistics(Box<ExtendedStatistics>),
    Extension(Box<Extension>),
    ForeignDataWrapper(Box<ForeignDataWrapper>),
    ForeignKey(Box<ForeignKey>),
    ForeignServer(Box<ForeignServer>),
    Function(Box<Function>),
    FunctionBody(Box<FunctionBody>),
    Index(Box<Index>),
    IndexAttach(Box<IndexAttach>),
    Language(Box<Language>),
    LargeObject(Box<LargeObject>),
    LargeObjectData(Box<LargeObjectData>),
    MaterializedView(Box<MaterializedView>),
    MaterializedViewData(Box<MaterializedViewData>),
    Operator(Box<Operator>),
    OperatorClass(Box<OperatorClass>),
    OperatorFamily(Box<OperatorFamily>),
    OperatorFamilyMember(Box<OperatorFamilyMember>),
    Policy(Box<Policy>),
    Publication(Box<Publication>),
    PublicationSchema(Box<PublicationSchema>),
    PublicationTable(Box<PublicationTable>),
    RangeType(Box<RangeType>),
    RelationStatistics(Box<RelationStatistics>),
    RowSecurity(Box<RowSecurity>),
    Rule(Box<Rule>),
    Schema(Box<Schema>),
    Sequence(Box<Sequence>),
    SequenceOwner(Box<SequenceOwner>),
    SequenceSet(Box<SequenceSet>),
    ShellType(Box<ShellType>),
    Subscription(Box<Subscription>),
    Table(Box<Table>),
    TableAttach(Box<TableAttach>),
    TableData(Box<TableData>),
    TextSearchConfiguration(Box<TextSearchConfiguration>),
    TextSearchDictionary(Box<TextSearchDictionary>),
    TextSearchParser(Box<TextSearchParser>),
    TextSearchTemplate(Box<TextSearchTemplate>),
    Transform(Box<Transform>),
    Trigger(Box<Trigger>),
    UserMapping(Box<UserMapping>),
    View(Box<View>),
    ViewQuery(Box<ViewQuery>),
}

impl Object {
    /// Takes out of the object what the user does not want to see in its definition.
    pub fn simplify(&mut self, options: &RenderOptions) {
        match self {
            Object::Table(table) => table.simplify(options),
            Object::MaterializedView(view) => view.simplify(options),
            Object::Index(index) => index.simplify(options),
            Object::Constraint(constraint) => constraint.simplify(options),
            Object::Subscription(subscription) => subscription.simplify(options),
            Object::TableData(data) => data.simplify(options),
            _ => {}
        }
    }

    /// The object behind its common face.
    pub fn as_dump_object(&self) -> &dyn DumpObject {
        match self {
            Object::AccessMethod(object) => object.as_ref(),
            Object::Aggregate(object) => object.as_ref(),
            Object::AttributeDefault(object) => object.as_ref(),
            Object::BaseType(object) => object.as_ref(),
            Object::Cast(object) => object.as_ref(),
            Object::ChangedPrivileges(object) => object.as_ref(),
            Object::CheckConstraint(object) => object.as_ref(),
            Object::Collation(object) => object.as_ref(),
            Object::CompositeType(object) => object.as_ref(),
            Object::Constraint(object) => object.as_ref(),
            Object::Conversion(object) => object.as_ref(),
            Object::DefaultAcl(object) => object.as_ref(),
            Object::Domain(object) => object.as_ref(),
            Object::DomainDefault(object) => object.as_ref(),
            Object::EnumType(object) => object.as_ref(),
            Object::EventTrigger(object) => object.as_ref(),
            Object::ExtendedStatistics(object) => object.as_ref(),
            Object::Extension(object) => object.as_ref(),
            Object::ForeignDataWrapper(object) => object.as_ref(),
            Object::ForeignKey(object) => object.as_ref(),
            Object::ForeignServer(object) => object.as_ref(),
            Object::Function(object) => object.as_ref(),
            Object::FunctionBody(object) => object.as_ref(),
            Object::Index(object) => object.as_ref(),
            Object::IndexAttach(object) => object.as_ref(),
            Object::Language(object) => object.as_ref(),
            Object::LargeObject(object) => object.as_ref(),
            Object::LargeObjectData(object) => object.as_ref(),
            Object::MaterializedView(object) => object.as_ref(),
            Object::MaterializedViewData(object) => object.as_ref(),
            Object::Operator(object) => object.as_ref(),
            Object::OperatorClass(object) => object.as_ref(),
            Object::OperatorFamily(object) => object.as_ref(),
            Object::OperatorFamilyMember(object) => object.as_ref(),
            Object::Policy(object) => object.as_ref(),
            Object::Publication(object) => object.as_ref(),
            Object::PublicationSchema(object) => object.as_ref(),
            Object::PublicationTable(object) => object.as_ref(),
            Object::RangeType(object) => object.as_ref(),
            Object::RelationStatistics(object) => object.as_ref(),
            Object::RowSecurity(object) => object.as_ref(),
            Object::Rule(object) => object.as_ref(),
            Object::Schema(object) => object.as_ref(),
            Object::Sequence(object) => object.as_ref(),
            Object::SequenceOwner(object) => object.as_ref(),
            Object::SequenceSet(object) => object.as_ref(),
            Object::ShellType(object) => object.as_ref(),
            Object::Subscription(object) => object.as_ref(),
            Object::Table(object) => object.as_ref(),
            Object::TableAttach(object) => object.as_ref(),
            Object::TableData(object) => object.as_ref(),
            Object::TextSearchConfiguration(object) => object.as_ref(),
            Object::TextSearchDictionary(object) => object.as_ref(),
            Object::TextSearchParser(object) => object.as_ref(),
            Object::TextSearchTemplate(object) => object.as_ref(),
            Object::Transform(object) => object.as_ref(),
            Object::Trigger(object) => object.as_ref(),
            Object::UserMapping(object) => object.as_ref(),
            Object::View(object) => object.as_ref(),
            Object::ViewQuery(object) => object.as_ref(),
        }
    }
}
