//! Which objects a selection and the options leave in. Pure.

use std::collections::HashSet;

use crate::objects::{CatalogId, DumpObject, Kind, Object, ObjectId, OidSet, catalog};

use super::catalog::Catalog;
use super::contents::ContentOptions;
use super::selection::Selection;

/// By object of the catalog: whether it goes into the dump.
pub(super) fn choose(
    catalog: &Catalog,
    selection: &Selection,
    options: &ContentOptions,
) -> Vec<bool> {
    (0..catalog.objects.len())
        .map(|index| {
            let kind = catalog.objects[index].as_dump_object().kind();
            (options.parts.includes_in_any_case(kind) || is_selected(catalog, selection, index))
                && is_in_parts(catalog, options, index)
                && has_wanted_rows(selection, &catalog.objects[index])
                && is_own_or_asked_for(selection, &catalog.objects[index])
                && !is_of_extensions_column(catalog, index)
        })
        .collect()
}

/// Takes out what cannot be restored without these catalog rows, and what needs that in turn. Tells which
/// wanted objects were taken out.
///
/// A default or check constraint goes alone; a view without its query is no view, and a function no function without
/// its body.
pub(super) fn leave_out(
    catalog: &Catalog,
    rows: &OidSet<CatalogId>,
    wanted: &mut [bool],
) -> Vec<usize> {
    let mut open: Vec<usize> = catalog
        .dependencies
        .iter()
        .filter(|dependency| rows.contains(&dependency.referenced))
        .filter_map(|dependency| catalog.claimant(dependency.dependent))
        .collect();
    if open.is_empty() {
        return Vec::new();
    }
    let mut needed_by = vec![Vec::new(); catalog.objects.len()];
    for (index, needed) in catalog.depends_on.iter().enumerate() {
        for &needed in needed {
            needed_by[needed].push(index);
        }
    }
    let mut out = HashSet::new();
    while let Some(index) = open.pop() {
        if !out.insert(index) {
            continue;
        }
        open.extend(&needed_by[index]);
        let kind = catalog.objects[index].as_dump_object().kind();
        if matches!(kind, Kind::ViewQuery | Kind::FunctionBody) {
            open.extend(catalog.owner_of(index));
        }
    }
    take_out(out, wanted)
}

/// Tells which of these were wanted until now.
fn take_out(objects: impl IntoIterator<Item = usize>, wanted: &mut [bool]) -> Vec<usize> {
    let mut objects: Vec<usize> = objects.into_iter().collect();
    objects.retain(|&index| std::mem::replace(&mut wanted[index], false));
    objects
}

fn is_selected(catalog: &Catalog, selection: &Selection, index: usize) -> bool {
    if selection.is_everything() {
        return true;
    }
    if let Some(owner) = catalog.owner_of(index) {
        return is_selected(catalog, selection, owner);
    }
    let object = catalog.objects[index].as_dump_object();
    // Without the publication there is nothing to add to.
    let is_of_publication = matches!(
        object.kind(),
        Kind::PublicationTable | Kind::PublicationSchema
    );
    if is_of_publication && !selection.includes_global_objects() {
        return false;
    }
    // The sequence without its table belongs to nobody.
    if object.kind() == Kind::SequenceOwner {
        let needed = object.extra_dependencies().into_iter();
        return needed
            .map(|id| catalog.find(id))
            .all(|relation| relation.is_some_and(|at| is_selected(catalog, selection, at)));
    }
    if let Some(extension) = extension_of(catalog, index) {
        let name = catalog.objects[extension].as_dump_object().tag();
        match &catalog.objects[index] {
            // They are restored on what the extension makes, in whichever schema that is.
            Object::ChangedPrivileges(_) => return is_selected(catalog, selection, extension),
            _ => {
                let schema = object.schema().unwrap_or_default();
                return selection.includes_configuration(&name, schema, &object.tag());
            }
        }
    }
    // It may lie in another schema than its table.
    if let (Kind::ExtendedStatistics, Some(schema)) = (object.kind(), object.schema())
        && !selection.is_schema_wanted(schema)
    {
        return false;
    }
    match object.relation().and_then(|id| catalog.find(id)) {
        Some(relation) if relation != index => is_selected(catalog, selection, relation),
        Some(_) => is_relation_selected(catalog, selection, index),
        None => is_selected_alone(selection, object),
    }
}

/// The extension whose member this is about: rows and values of its configuration, changed privileges.
fn extension_of(catalog: &Catalog, index: usize) -> Option<usize> {
    let extension = match &catalog.objects[index] {
        Object::TableData(data) => data.extension,
        Object::SequenceSet(set) => set.extension,
        Object::MaterializedViewData(data) => data.extension,
        Object::ChangedPrivileges(privileges) => privileges.extension,
        _ => None,
    }?;
    catalog.exact(ObjectId::definition(catalog::PG_EXTENSION, extension))
}

/// A sequence goes with the table that owns it, as in pg_dump; that of an identity column with nothing else.
fn is_relation_selected(catalog: &Catalog, selection: &Selection, index: usize) -> bool {
    if let Some(&table) = catalog.identity_tables.get(&index) {
        return is_selected(catalog, selection, table);
    }
    let object = catalog.objects[index].as_dump_object();
    let by_name = match object.schema() {
        Some(schema) => selection.includes_relation(schema, &object.tag()),
        None => selection.includes_global_objects(),
    };
    by_name
        || catalog
            .sequence_owners
            .get(&index)
            .is_some_and(|&table| is_selected(catalog, selection, table))
}

/// Of an object that is not, and does not belong to, a relation that is dumped.
fn is_selected_alone(selection: &Selection, object: &dyn DumpObject) -> bool {
    match (object.kind(), object.schema()) {
        (Kind::Extension, _) => selection.includes_extension(&object.tag()),
        (Kind::Schema, _) => selection.includes_schema(&object.tag()),
        (_, Some(schema)) => selection.includes_schema(schema),
        (_, None) => selection.includes_global_objects(),
    }
}

fn is_in_parts(catalog: &Catalog, options: &ContentOptions, index: usize) -> bool {
    let object = &catalog.objects[index];
    let kind = object.as_dump_object().kind();
    if options.no_unlogged_table_data && is_unlogged_data(object) {
        return false;
    }
    // Configuration tables of extensions are definitions as far as pg_dump is concerned.
    options.parts.includes_kind(kind)
        || (options.parts.schema_only
            && kind == Kind::TableData
            && is_configuration(catalog, object))
}

/// Takes out what no standby has: the contents of unlogged tables and sequences. Tells what was taken out.
pub(super) fn leave_out_unlogged(catalog: &Catalog, wanted: &mut [bool]) -> Vec<usize> {
    let all = 0..catalog.objects.len();
    let unlogged = all.filter(|&index| is_unlogged_data(&catalog.objects[index]));
    take_out(unlogged, wanted)
}

fn is_unlogged_data(object: &Object) -> bool {
    match object {
        Object::TableData(data) => data.is_unlogged,
        Object::SequenceSet(set) => set.is_unlogged,
        _ => false,
    }
}

/// Takes out refreshes that would fail: of what reads a materialized view that is not populated. Tells which.
pub(super) fn leave_out_unfilled(catalog: &Catalog, wanted: &mut [bool]) -> Vec<usize> {
    take_out(catalog.unfilled.iter().copied(), wanted)
}

/// Whether this is the sequence, or its value, of an identity column that somebody added to a table of an extension. Nobody
/// makes the column again: it is not looked at, as nothing is that was added to such a table.
fn is_of_extensions_column(catalog: &Catalog, index: usize) -> bool {
    let relation = catalog.objects[index].as_dump_object().relation();
    let sequence = relation.and_then(|id| catalog.exact(id));
    match sequence.map(|sequence| &catalog.objects[sequence]) {
        Some(Object::Sequence(sequence)) => sequence
            .identity_of()
            .is_some_and(|table| catalog.exact(table).is_none()),
        _ => false,
    }
}

/// Whether these are rows of a table that an extension makes.
fn is_configuration(catalog: &Catalog, object: &Object) -> bool {
    let relation = object.as_dump_object().relation();
    relation.and_then(|id| catalog.exact(id)).is_none()
}

/// Rows of foreign tables are another server's: they go by `--include-foreign-data`.
fn is_own_or_asked_for(selection: &Selection, object: &Object) -> bool {
    match object {
        Object::TableData(data) => {
            let server = data.foreign_server.as_deref();
            server.is_none_or(|server| selection.includes_foreign_data(server))
        }
        _ => true,
    }
}

/// Rows, values of sequences and refreshes go by `--exclude-table-data`.
fn has_wanted_rows(selection: &Selection, object: &Object) -> bool {
    let object = object.as_dump_object();
    match (object.kind(), object.schema()) {
        (Kind::TableData | Kind::SequenceSet | Kind::MaterializedViewData, Some(schema)) => {
            selection.includes_data(schema, &object.tag())
        }
        _ => true,
    }
}
