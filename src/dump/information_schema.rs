//! What is the server's own in an information_schema that was made anew: who drops it and runs the server's
//! information_schema.sql gives all of it OIDs of users' objects. pg_dump leaves out the schema whatever is in it.

/// Views and tables that information_schema.sql makes, of servers 10 to 18 together.
const RELATIONS: &str = "_pg_foreign_data_wrappers _pg_foreign_servers _pg_foreign_table_columns \
     _pg_foreign_tables _pg_user_mappings administrable_role_authorizations applicable_roles \
     attributes character_sets check_constraint_routine_usage check_constraints \
     collation_character_set_applicability collations column_column_usage column_domain_usage \
     column_options column_privileges column_udt_usage columns constraint_column_usage \
     constraint_table_usage data_type_privileges domain_constraints domain_udt_usage domains \
     element_types enabled_roles foreign_data_wrapper_options foreign_data_wrappers \
     foreign_server_options foreign_servers foreign_table_options foreign_tables \
     information_schema_catalog_name key_column_usage parameters referential_constraints \
     role_column_grants role_routine_grants role_table_grants role_udt_grants \
     role_usage_grants routine_column_usage routine_privileges routine_routine_usage \
     routine_sequence_usage routine_table_usage routines schemata sequences sql_features \
     sql_implementation_info sql_languages sql_packages sql_parts sql_sizing \
     sql_sizing_profiles table_constraints table_privileges tables transforms \
     triggered_update_columns triggers udt_privileges usage_privileges user_defined_types \
     user_mapping_options user_mappings view_column_usage view_routine_usage view_table_usage \
     views";

/// Domains.
const DOMAINS: &str = "cardinal_number character_data sql_identifier time_stamp yes_or_no";

/// What the names of its functions begin with.
const FUNCTIONS: &str = "_pg_";

/// SQL: a recursive query in parentheses with the columns `classid` and `objid`: the server's own there, as far as it has OIDs of
/// users' objects, with all that comes with it (row types, rules, checks). What somebody added to the schema is not among it.
pub(super) fn own_rows() -> String {
    let part = |catalog: &str, prefix: &str, condition: &str| {
        format!(
            "SELECT 'pg_catalog.{catalog}'::pg_catalog.regclass::pg_catalog.oid, r.oid \
             FROM pg_catalog.{catalog} r JOIN pg_catalog.pg_namespace n ON n.oid = r.{prefix}namespace \
             WHERE r.oid >= 16384 AND n.nspname = 'information_schema' AND {condition}"
        )
    };
    let named = |column: &str, names: &str| {
        format!("r.{column} = ANY(pg_catalog.string_to_array('{names}', ' '))")
    };
    let parts = [
        part("pg_class", "rel", &named("relname", RELATIONS)),
        part(
            "pg_type",
            "typ",
            &format!("r.typtype = 'd' AND {}", named("typname", DOMAINS)),
        ),
        part(
            "pg_proc",
            "pro",
            &format!("pg_catalog.strpos(r.proname, '{FUNCTIONS}') = 1"),
        ),
    ];
    format!(
        "(WITH RECURSIVE own(classid, objid) AS ( \
         (SELECT 'pg_catalog.pg_namespace'::pg_catalog.regclass::pg_catalog.oid, n.oid FROM pg_catalog.pg_namespace n \
         WHERE n.oid >= 16384 AND n.nspname = 'information_schema' UNION ALL {}) \
         UNION SELECT d.classid, d.objid FROM own o JOIN pg_catalog.pg_depend d \
         ON d.refclassid = o.classid AND d.refobjid = o.objid AND d.deptype IN ('a', 'i')) SELECT classid, objid FROM own)",
        parts.join(" UNION ALL ")
    )
}
