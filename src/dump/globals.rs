//! What belongs to the cluster and to none of its databases: `create --globals`.

use crate::archive::{DumpId, Section};
use crate::conn::Session;
use crate::lexer;
use crate::objects::{
    DumpObject, Kind, RenderContext, parameter_acl, role, role_membership, role_setting, tablespace,
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
    let none = crate::objects::OidSet::default();
    let mut script = Script {
        context: RenderContext {
            server: session.version(),
            separate: &none,
        },
        options,
        entries: Vec::new(),
    };
    script.add_all(&roles)?;
    script.add_all(&tablespaces)?;
    script.add_all(&settings)?;
    script.add_all(&memberships)?;
    script.add_all(&parameters)?;
    Ok(Contents {
        entries: script.entries,
        unsupported: Vec::new(),
        warnings: Vec::new(),
    })
}

struct Script<'a> {
    context: RenderContext<'a>,
    options: &'a ContentOptions,
    entries: Vec<ContentEntry>,
}

impl Script<'_> {
    fn add_all(&mut self, objects: &[impl DumpObject]) -> Result<()> {
        objects.iter().try_for_each(|object| self.add(object))
    }

    /// The object, then its comment, then its privileges.
    fn add(&mut self, object: &dyn DumpObject) -> Result<()> {
        let rendered = object.render(&self.context);
        let owner = rendered.alter_owner.filter(|_| !self.options.no_owner);
        let subject = self.push(object, object.kind(), None, rendered.create, owner)?;
        for (kind, statements) in [
            (Kind::Comment, rendered.comments),
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
