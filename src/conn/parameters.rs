//! libpq's connection parameters: their names, their environment variables, and what we do with
//! them. A parameter that has an effect in libpq but not here is refused by name.
//!
//! Manual: "Parameter Key Words" and "Environment Variables".

use std::collections::BTreeMap;

use super::settings::Environment;
use super::{keywords, service_file, uri};

/// What becomes of a parameter that is set.
#[derive(Clone, Copy)]
enum Handling {
    /// [`super::ConnectSettings`] is built from it.
    Used,
    /// Only these values (or none) change nothing, or ask for what is done anyway.
    Only(&'static [&'static str]),
    /// It cannot have an effect here.
    WithoutEffect,
}

use Handling::{Only, Used, WithoutEffect};

const OFF: Handling = Only(&["0", "off", "false", "no"]);

/// Keyword, environment variable, handling.
const KNOWN: &[(&str, Option<&str>, Handling)] = &[
    ("host", Some("PGHOST"), Used),
    ("hostaddr", Some("PGHOSTADDR"), Used),
    ("port", Some("PGPORT"), Used),
    ("dbname", Some("PGDATABASE"), Used),
    ("user", Some("PGUSER"), Used),
    ("password", Some("PGPASSWORD"), Used),
    ("passfile", Some("PGPASSFILE"), Used),
    ("service", Some("PGSERVICE"), Used),
    ("servicefile", Some("PGSERVICEFILE"), Used),
    ("connect_timeout", Some("PGCONNECT_TIMEOUT"), Used),
    ("application_name", Some("PGAPPNAME"), Used),
    ("fallback_application_name", None, Used),
    ("options", Some("PGOPTIONS"), Used),
    ("keepalives", None, Used),
    ("keepalives_idle", None, Used),
    ("keepalives_interval", None, Used),
    ("keepalives_count", None, Used),
    ("tcp_user_timeout", None, Used),
    ("target_session_attrs", Some("PGTARGETSESSIONATTRS"), Used),
    ("load_balance_hosts", Some("PGLOADBALANCEHOSTS"), Used),
    ("channel_binding", Some("PGCHANNELBINDING"), Used),
    ("sslmode", Some("PGSSLMODE"), Used),
    ("sslnegotiation", Some("PGSSLNEGOTIATION"), Used),
    ("sslrootcert", Some("PGSSLROOTCERT"), Used),
    ("sslcert", Some("PGSSLCERT"), Used),
    ("sslkey", Some("PGSSLKEY"), Used),
    ("sslsni", Some("PGSSLSNI"), Used),
    ("sslcertmode", Some("PGSSLCERTMODE"), Used),
    (
        "ssl_min_protocol_version",
        Some("PGSSLMINPROTOCOLVERSION"),
        Used,
    ),
    (
        "ssl_max_protocol_version",
        Some("PGSSLMAXPROTOCOLVERSION"),
        Used,
    ),
    // Neither PostgreSQL 14 and later nor rustls compress.
    ("sslcompression", Some("PGSSLCOMPRESSION"), WithoutEffect),
    ("sslpassword", None, Only(&[])),
    ("sslcrl", Some("PGSSLCRL"), Only(&[])),
    ("sslcrldir", Some("PGSSLCRLDIR"), Only(&[])),
    ("sslkeylogfile", None, Only(&[])),
    ("requirepeer", Some("PGREQUIREPEER"), Only(&[])),
    ("require_auth", Some("PGREQUIREAUTH"), Only(&[])),
    // The protocol of pgstow is 3.0; "latest" is an upper bound.
    (
        "min_protocol_version",
        Some("PGMINPROTOCOLVERSION"),
        Only(&["3.0"]),
    ),
    (
        "max_protocol_version",
        Some("PGMAXPROTOCOLVERSION"),
        Only(&["3.0", "3.2", "latest"]),
    ),
    (
        "gssencmode",
        Some("PGGSSENCMODE"),
        Only(&["disable", "prefer"]),
    ),
    ("gssdelegation", Some("PGGSSDELEGATION"), OFF),
    // They say how to do GSS authentication, which a server that asks for it does not get.
    ("krbsrvname", Some("PGKRBSRVNAME"), WithoutEffect),
    ("gsslib", Some("PGGSSLIB"), WithoutEffect),
    ("replication", None, OFF),
    (
        "client_encoding",
        Some("PGCLIENTENCODING"),
        Only(&["auto", "utf8", "utf-8", "unicode"]),
    ),
    ("scram_client_key", None, Only(&[])),
    ("scram_server_key", None, Only(&[])),
    ("oauth_issuer", None, Only(&[])),
    ("oauth_client_id", None, Only(&[])),
    ("oauth_client_secret", None, Only(&[])),
    ("oauth_scope", None, Only(&[])),
];

/// Values by keyword, each with where it came from, for error texts.
#[derive(Default)]
pub(super) struct Parameters(BTreeMap<&'static str, (String, String)>);

impl Parameters {
    /// The value, if there is one that is not empty: to libpq an empty value asks for the default,
    /// but also hides what a later source says.
    pub(super) fn value(&self, keyword: &str) -> Option<&str> {
        let (value, _) = self.0.get(keyword)?;
        Some(value.as_str()).filter(|value| !value.is_empty())
    }

    /// Where the value came from.
    pub(super) fn source(&self, keyword: &str) -> &str {
        self.0.get(keyword).map_or("", |(_, source)| source)
    }

    /// Sets a value, whatever an earlier source said.
    pub(super) fn set(&mut self, keyword: &str, value: &str, source: &str) -> Result<(), String> {
        let (known, _, _) = KNOWN
            .iter()
            .find(|(known, _, _)| *known == keyword)
            .ok_or_else(|| format!("unknown connection parameter \"{keyword}\" in {source}"))?;
        self.0.insert(known, (value.to_owned(), source.to_owned()));
        Ok(())
    }

    /// Sets the pairs that no earlier source has set. Of equal keywords in `pairs` the last counts.
    pub(super) fn fill(&mut self, pairs: &[(String, String)], source: &str) -> Result<(), String> {
        let mut filled = Parameters::default();
        for (keyword, value) in pairs {
            filled.set(keyword, value, source)?;
        }
        for (keyword, value) in filled.0 {
            self.0.entry(keyword).or_insert(value);
        }
        Ok(())
    }

    /// Sets what no earlier source has set from a service, then from the environment.
    pub(super) fn fill_from_service_and_environment(
        &mut self,
        environment: &Environment,
    ) -> Result<(), String> {
        for keyword in ["service", "servicefile"] {
            self.fill_from_variable(keyword, environment);
        }
        if let Some(service) = self.value("service").map(str::to_owned) {
            let file = self.value("servicefile");
            let pairs = service_file::find(&service, file, environment)?;
            self.fill(&pairs, &format!("service \"{service}\""))?;
        }
        for (keyword, _, _) in KNOWN {
            self.fill_from_variable(keyword, environment);
        }
        Ok(())
    }

    fn fill_from_variable(&mut self, keyword: &str, environment: &Environment) {
        let variable = (KNOWN.iter())
            .find(|(known, _, _)| *known == keyword)
            .and_then(|(known, variable, _)| variable.map(|variable| (*known, variable)));
        if let Some((known, variable)) = variable
            && let Some(value) = environment.var(variable)
        {
            let value = (value.to_owned(), format!("environment variable {variable}"));
            self.0.entry(known).or_insert(value);
        }
    }

    /// Refuses what libpq would heed and we do not.
    pub(super) fn refuse_unsupported(&self) -> Result<(), String> {
        for (keyword, _, handling) in KNOWN {
            let Only(harmless) = handling else { continue };
            let Some(value) = self.value(keyword) else {
                continue;
            };
            if !harmless.iter().any(|h| h.eq_ignore_ascii_case(value)) {
                let source = self.source(keyword);
                return Err(match harmless {
                    [] => format!("connection parameter \"{keyword}\" ({source}) is not supported"),
                    _ => format!(
                        "connection parameter \"{keyword}\" ({source}) is supported only as {}",
                        harmless.join(", ")
                    ),
                });
            }
        }
        Ok(())
    }
}

/// Whether a database argument is a connection string rather than a name.
pub(crate) fn is_connection_string(text: &str) -> bool {
    uri::is_uri(text) || text.contains('=')
}

/// The pairs of a URI or of a keyword string.
pub(super) fn parse_connection_string(text: &str) -> Result<Vec<(String, String)>, String> {
    if uri::is_uri(text) {
        uri::parse(text)
    } else {
        keywords::parse(text)
    }
}
