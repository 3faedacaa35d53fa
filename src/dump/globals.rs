//! What belongs to the cluster and to none of its databases: `create --globals`.

use std::collections::HashMap;

use crate::archive::{DumpId, Section};
use crate::conn::Session;
use crate::lexer;
use crate::objects::quote::one_line;
use crate::objects::{
    CatalogId, DumpObject, Kind, RenderContext, RenderOptions, catalog, parameter_acl, role,
    role_membership, role_setting, security_label, tablespace,
};
use crate::{Error, Result};

use super::contents::{ContentEntry, ContentOptions, Contents};

/// What of the cluster is wanted.
#[derive(Clone, Copy, Debug)]
pub struct GlobalOptions {
    /// Roles with their passwords, as they are stored: hashed. Only superusers may read them.
    pub role_passwords: bool,
}

/// Reads roles, tablespaces, settings and memberships of roles, privileges on settings, in this order.
///
/// # Errors
/// `Catalog` if a query fails or is not allowed.
pub(super) async fn read_globals(
    session: &Session,
    globals: GlobalOptions,
    options: &ContentOptions,
) -> Result<Contents> {
    let roles = role::read(session, globals.role_passwords).await;
    let roles = roles.map_err(|error| match globals.role_passwords {
        true => {
            error.hint("Only superusers may read passwords: --no-role-passwords leaves them out.")
        }
        false => error,
    })?;
    let tablespaces = match options.style.no_tablespaces {
        true => Vec::new(),
        false => tablespace::read(session).await?,
    };
    let settings = role_setting::read(session).await?;
    let memberships = role_membership::read(session).await?;
    let parameters = parameter_acl::read(session).await?;
    let mut labels: HashMap<CatalogId, Vec<String>> = HashMap::new();
    if options.parts.includes_about(Kind::SecurityLabel) {
        for label in security_label::read_of_cluster(session).await? {
            labels.entry(label.row).or_default().push(label.statement);
        }
    }
    let none = crate::objects::OidSet::default();
    let mut script = Script {
        context: RenderContext {
            server: session.version(),
            separate: &none,
        },
        options,
        labels,
        entries: Vec::new(),
    };
    script.add_all(&roles)?;
    script.add_all(&tablespaces)?;
    script.add_all(&settings)?;
    script.add_all(&memberships)?;
    script.add_all(&parameters)?;
    Ok(Contents {
        warnings: labels_of_the_system(script.labels, &options.style),
        entries: script.entries,
        unsupported: Vec::new(),
    })
}

/// Roles and tablespaces that every cluster has are not dumped, and so are their labels not.
fn labels_of_the_system(
    left: HashMap<CatalogId, Vec<String>>,
    style: &RenderOptions,
) -> Vec<String> {
    let of_wanted = |row: &CatalogId| row.class != catalog::PG_TABLESPACE || !style.no_tablespaces;
    let left = left.into_iter().filter(|(row, _)| of_wanted(row));
    let mut lines: Vec<String> = left
        .flat_map(|(_, statements)| statements)
        .map(|statement| {
            format!(
                "not dumped, as it is on what the system made: {}",
                one_line(&statement)
            )
        })
        .collect();
    lines.sort_unstable();
    lines
}

struct Script<'a> {
    context: RenderContext<'a>,
    options: &'a ContentOptions,
    /// Security labels of what is still to be added.
    labels: HashMap<CatalogId, Vec<String>>,
    entries: Vec<ContentEntry>,
}

impl Script<'_> {
    fn add_all(&mut self, objects: &[impl DumpObject]) -> Result<()> {
        objects.iter().try_for_each(|object| self.add(object))
    }

    /// The object, then its comment, its labels and its privileges.
    fn add(&mut self, object: &dyn DumpObject) -> Result<()> {
        let rendered = object.render(&self.context);
        let owner = rendered.alter_owner.filter(|_| !self.options.no_owner);
        let subject = self.push(object, object.kind(), None, rendered.create, owner)?;
        let labels = match object.kind() {
            Kind::Role | Kind::Tablespace => self.labels.remove(&object.id().catalog),
            _ => None,
        };
        for (kind, statements) in [
            (Kind::Comment, rendered.comments),
            (Kind::SecurityLabel, labels.unwrap_or_default()),
            (Kind::Acl, rendered.acl),
        ] {
            if !statements.is_empty() && self.options.parts.includes_about(kind) {
                self.push(object, kind, Some(subject), statements, None)?;
            }
        }
        Ok(())
    }

    fn push(
        &mut self,
        object: &dyn DumpObject,
        kind: Kind,
        subject: Option<DumpId>,
        create: Vec<String>,
        alter_owner: Option<String>,
    ) -> Result<DumpId> {
        for statement in create.iter().chain(&alter_owner) {
            lexer::guard(statement).map_err(Error::from)?;
        }
        let id = u32::try_from(self.entries.len() + 1)
            .map(DumpId)
            .map_err(|_| Error::internal("more entries than a table of contents can number"))?;
        self.entries.push(ContentEntry {
            id,
            kind,
            schema: None,
            tag: match subject {
                Some(_) => format!("{} {}", object.kind(), object.tag()),
                None => object.tag(),
            },
            relation: None,
            subject,
            owner: object.owner().map(str::to_owned),
            section: Section::PreData,
            depends_on: subject.into_iter().collect(),
            locks: Vec::new(),
            drop: None,
            create,
            alter_owner,
            data: None,
        });
        Ok(id)
    }
}
