//! A connection with the session settings that deparsing, COPY and locks rely on.

use std::ops::Deref;

use super::ServerVersion;

/// An open connection whose session settings are ours. Dropping it closes the connection.
pub struct Session {
    client: tokio_postgres::Client,
    version: ServerVersion,
}

impl Session {
    /// The server's version.
    pub fn version(&self) -> ServerVersion {
        self.version
    }
}

impl Deref for Session {
    type Target = tokio_postgres::Client;

    fn deref(&self) -> &Self::Target {
        &self.client
    }
}
