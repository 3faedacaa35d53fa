//! A connection with the session settings that deparsing, COPY and locks rely on.

use std::ops::Deref;

use super::ServerVersion;

/// An open connection whose session settings are ours. Dropping it closes the connection.
pub struct Session {
    client: tokio_postgres::Client,
    version: ServerVersion,
}

impl Session {
    pub(super) async fn open(config: &tokio_postgres::Config) -> crate::Result<Session> {
        let failed =
            |e| crate::Error::from_server(crate::ErrorKind::Connect, "could not connect", e);
        let (client, connection) = config
            .connect(tokio_postgres::NoTls)
            .await
            .map_err(failed)?;
        tokio::spawn(connection);
        client
            .batch_execute(
                "SET search_path = ''; SET datestyle = ISO; SET intervalstyle = postgres; \
                 SET extra_float_digits = 3; SET row_security = off; SET synchronize_seqscans = off; \
                 SET statement_timeout = 0; SET lock_timeout = 0; \
                 SET idle_in_transaction_session_timeout = 0",
            )
            .await
            .map_err(failed)?;
        let row = client
            .query_one(
                "SELECT pg_catalog.current_setting('server_version_num')::int4 AS num",
                &[],
            )
            .await
            .map_err(failed)?;
        let num: i32 = row.get("num");
        let version = ServerVersion::from_num(num.unsigned_abs());
        Ok(Session { client, version })
    }

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
