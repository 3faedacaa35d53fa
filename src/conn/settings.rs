//! From arguments, connection strings, service files and the environment to settings.
//!
//! Everything here is decided from explicit inputs; [`Environment`] stands for the process.

use std::collections::HashMap;
use std::fmt;
use std::net::IpAddr;
use std::path::{Path, PathBuf};
use std::str::FromStr;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use super::ConnectArgs;
use super::parameters::{Parameters, is_connection_string, parse_connection_string};
use super::passfile::{DEFAULT_SOCKET_DIRECTORIES, PassFile};
use super::tls::TlsSettings;
use crate::{Error, ErrorKind, Result};

const DEFAULT_PORT: u16 = 5432;
const DEFAULT_APPLICATION_NAME: &str = "pgstow";

/// Everything needed to connect, after precedence (arguments, service file, environment, defaults)
/// was applied. Printing it never shows the password. Clones share a password that was asked for.
///
/// Precedence, as libpq's `PQconnectdbParams` has it for pg_dump: what a connection string says
/// wins over `-h`, `-p` and `-U`; then come the service, the `PG*` variables and the defaults.
/// `DATABASE_URL` stands between the arguments and the service, and counts only if no argument,
/// nor `PGDATABASE` or `PGSERVICE`, says which database is meant.
#[derive(Clone)]
pub struct ConnectSettings {
    pub(super) hosts: Vec<HostSettings>,
    pub(super) user: String,
    pub(super) database: String,
    pub(super) application_name: String,
    pub(super) options: Option<String>,
    /// Session settings for which libpq has environment variables: `PGTZ`, `PGGEQO`.
    pub(super) session_variables: Vec<(&'static str, String)>,
    /// The role to become once connected.
    pub(super) role: Option<String>,
    /// For each address that is tried, up to the end of authentication.
    pub(super) connect_timeout: Option<Duration>,
    pub(super) target: TargetSession,
    pub(super) load_balance: bool,
    pub(super) tls: TlsSettings,
    pub(super) channel_binding: tokio_postgres::config::ChannelBinding,
    pub(super) keepalive: Keepalive,
    pub(super) ask_for_password: bool,
    pub(super) warnings: Vec<String>,
    explicit_password: Option<Secret>,
    passfile: Arc<PassFile>,
    passfile_path: Option<PathBuf>,
    asked_password: Arc<Mutex<Option<Secret>>>,
}

/// One of the hosts to try.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct HostSettings {
    /// As it was given: for messages, the password file and the server's certificate.
    pub(super) name: String,
    pub(super) address: Address,
    pub(super) port: u16,
}

/// Where a host is reached.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Address {
    /// The directory of a unix socket.
    Socket(PathBuf),
    /// To be looked up; may have several addresses.
    Name(String),
    /// A numeric address.
    Ip(IpAddr),
}

/// What kind of server is acceptable (`target_session_attrs`).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum TargetSession {
    Any,
    ReadWrite,
    ReadOnly,
    Primary,
    Standby,
    PreferStandby,
}

/// TCP keepalives; `None` leaves the operating system's value.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Keepalive {
    pub(super) enabled: bool,
    pub(super) idle: Option<Duration>,
    pub(super) interval: Option<Duration>,
    pub(super) count: Option<u32>,
    pub(super) user_timeout: Option<Duration>,
}

/// A password, and where it came from.
pub(super) struct KnownPassword {
    pub(super) password: Secret,
    /// The password file, if it is from there.
    pub(super) passfile: Option<PathBuf>,
}

impl ConnectSettings {
    /// Applies libpq's precedence. `positional` is the command's `[DB|URL]` argument. Reads the
    /// process environment, the service file and the password file; may ask on the terminal (-W).
    ///
    /// # Errors
    /// [`ErrorKind::Usage`] if a parameter is unknown, malformed, or one that libpq heeds and we do not.
    pub fn resolve(args: &ConnectArgs, positional: Option<&str>) -> Result<Self> {
        Self::resolve_asking(args, positional, &Environment::of_process())
    }

    fn resolve_asking(
        args: &ConnectArgs,
        positional: Option<&str>,
        environment: &Environment,
    ) -> Result<Self> {
        let settings = Self::resolve_from(args, positional, environment)?;
        if args.password {
            let password = ask_password(&settings.user).map_err(|e| {
                Error::new(ErrorKind::Usage, "could not ask for the password")
                    .detail(e.to_string())
                    .hint("-W needs a terminal. Use PGPASSWORD or ~/.pgpass without one.")
            })?;
            settings.remember_password(password);
        }
        Ok(settings)
    }

    /// As [`ConnectSettings::resolve`], with a connection string that was configured. It stands where `DATABASE_URL`
    /// does: below the arguments and above the `PG*` variables, all of which only fill what it leaves open.
    ///
    /// # Errors
    /// As [`ConnectSettings::resolve`].
    pub fn resolve_configured(args: &ConnectArgs, connection_string: &str) -> Result<Self> {
        let mut environment = Environment::of_process();
        for naming in ["PGDATABASE", "PGSERVICE"] {
            environment.variables.remove(naming);
        }
        environment
            .variables
            .insert("DATABASE_URL".to_owned(), connection_string.to_owned());
        Self::resolve_asking(args, None, &environment)
    }

    /// As [`ConnectSettings::resolve`], but from an explicit environment, and never asking.
    pub(super) fn resolve_from(
        args: &ConnectArgs,
        positional: Option<&str>,
        environment: &Environment,
    ) -> Result<Self> {
        collect_parameters(args, positional, environment)
            .and_then(|parameters| Self::build(&parameters, environment))
            .map(|settings| ConnectSettings {
                ask_for_password: !args.no_password,
                ..settings
            })
            .map_err(|message| {
                Error::new(ErrorKind::Usage, message).hint(
                    "Parameters, URIs and variables are those of libpq; \
                     see \"Connection Strings\" in PostgreSQL's manual.",
                )
            })
    }

    /// The database to connect to.
    pub fn database(&self) -> &str {
        &self.database
    }

    /// The role to connect as.
    pub fn user(&self) -> &str {
        &self.user
    }

    /// The same server and role, another database.
    #[must_use]
    pub fn with_database(&self, database: &str) -> Self {
        ConnectSettings {
            database: database.to_owned(),
            ..self.clone()
        }
    }

    /// With a session setting of its own, which wins over ours.
    #[must_use]
    pub fn with_setting(&self, name: &'static str, value: &str) -> Self {
        let mut settings = self.clone();
        settings.session_variables.push((name, value.to_owned()));
        settings
    }

    /// With SET ROLE on every connection.
    #[must_use]
    pub fn with_role(&self, role: &str) -> Self {
        ConnectSettings {
            role: Some(role.to_owned()),
            ..self.clone()
        }
    }

    /// `user@host:port/database`, with all hosts and without the password.
    pub fn describe(&self) -> String {
        let hosts: Vec<String> = self.hosts.iter().map(HostSettings::to_string).collect();
        format!("{}@{}/{}", self.user, hosts.join(","), self.database)
    }

    /// What the operator should know though it does not stop us, such as a password file that is
    /// ignored because others may read it.
    pub fn warnings(&self) -> &[String] {
        &self.warnings
    }

    /// The password for a host: one that was asked for, one that was given, the password file's.
    pub(super) fn password_for(&self, host: &HostSettings) -> Option<KnownPassword> {
        let asked = self
            .asked_password
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .clone();
        if let Some(password) = asked.or_else(|| self.explicit_password.clone()) {
            return Some(KnownPassword {
                password,
                passfile: None,
            });
        }
        let password = self
            .passfile
            .find(&host.name, host.port, &self.database, &self.user)?;
        Some(KnownPassword {
            password,
            passfile: self.passfile_path.clone(),
        })
    }

    /// Sets the password for this value and all of its clones.
    pub(super) fn remember_password(&self, password: Secret) {
        *self
            .asked_password
            .lock()
            .unwrap_or_else(PoisonError::into_inner) = Some(password);
    }

    /// Sets the password for this value alone, above all other sources.
    pub(super) fn pin_password(&mut self, password: Secret) {
        self.asked_password = Arc::new(Mutex::new(Some(password)));
    }

    fn build(parameters: &Parameters, environment: &Environment) -> Result<Self, String> {
        parameters.refuse_unsupported()?;
        let user = match parameters.value("user") {
            Some(user) => user.to_owned(),
            None => environment
                .user
                .clone()
                .ok_or("no user name is given, and the operating system has none for us")?,
        };
        let passfile_path = match parameters.value("passfile") {
            Some(path) => Some(PathBuf::from(path)),
            None => environment.in_home(".pgpass"),
        };
        let (passfile, warning) = match &passfile_path {
            Some(path) => PassFile::read(path),
            None => (PassFile::default(), None),
        };
        let session_variables = [("timezone", "PGTZ"), ("geqo", "PGGEQO")]
            .iter()
            .filter_map(|(name, variable)| Some((*name, environment.var(variable)?.to_owned())))
            .filter(|(_, value)| !value.is_empty())
            .collect();
        Ok(ConnectSettings {
            hosts: host_list(parameters)?,
            database: parameters.value("dbname").unwrap_or(&user).to_owned(),
            user,
            application_name: parameters
                .value("application_name")
                .or(parameters.value("fallback_application_name"))
                .unwrap_or(DEFAULT_APPLICATION_NAME)
                .to_owned(),
            options: parameters.value("options").map(str::to_owned),
            session_variables,
            role: None,
            connect_timeout: number::<i64>(parameters, "connect_timeout")?
                .and_then(|seconds| u64::try_from(seconds).ok())
                .filter(|seconds| *seconds > 0)
                .map(Duration::from_secs),
            target: choice(
                parameters,
                "target_session_attrs",
                &[
                    ("any", TargetSession::Any),
                    ("read-write", TargetSession::ReadWrite),
                    ("read-only", TargetSession::ReadOnly),
                    ("primary", TargetSession::Primary),
                    ("standby", TargetSession::Standby),
                    ("prefer-standby", TargetSession::PreferStandby),
                ],
            )?,
            load_balance: choice(
                parameters,
                "load_balance_hosts",
                &[("disable", false), ("random", true)],
            )?,
            tls: TlsSettings::build(parameters, environment)?,
            channel_binding: {
                use tokio_postgres::config::ChannelBinding;
                choice(
                    parameters,
                    "channel_binding",
                    &[
                        ("prefer", ChannelBinding::Prefer),
                        ("disable", ChannelBinding::Disable),
                        ("require", ChannelBinding::Require),
                    ],
                )?
            },
            keepalive: Keepalive {
                enabled: number::<i64>(parameters, "keepalives")? != Some(0),
                idle: seconds(parameters, "keepalives_idle")?,
                interval: seconds(parameters, "keepalives_interval")?,
                count: number::<u32>(parameters, "keepalives_count")?.filter(|count| *count > 0),
                user_timeout: number::<u64>(parameters, "tcp_user_timeout")?
                    .filter(|ms| *ms > 0)
                    .map(Duration::from_millis),
            },
            ask_for_password: false,
            warnings: warning.into_iter().collect(),
            explicit_password: parameters
                .value("password")
                .map(|text| Secret::new(text.to_owned())),
            passfile: Arc::new(passfile),
            passfile_path,
            asked_password: Arc::default(),
        })
    }
}

impl fmt::Debug for ConnectSettings {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "ConnectSettings({})", self.describe())
    }
}

impl fmt::Display for HostSettings {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.name.contains(':') {
            true => write!(f, "[{}]:{}", self.name, self.port),
            false => write!(f, "{}:{}", self.name, self.port),
        }
    }
}

impl HostSettings {
    /// Whether it is reached through a unix socket.
    pub(super) fn is_socket(&self) -> bool {
        matches!(self.address, Address::Socket(_))
    }
}

/// A password. Neither printed nor logged.
#[derive(Clone)]
pub(super) struct Secret(String);

impl Secret {
    pub(super) fn new(text: String) -> Self {
        Secret(text)
    }

    pub(super) fn reveal(&self) -> &str {
        &self.0
    }

    pub(super) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Secret")
    }
}

/// What of the process decides about the settings.
#[derive(Default)]
pub(super) struct Environment {
    pub(super) variables: HashMap<String, String>,
    pub(super) home: Option<PathBuf>,
    /// The name of the operating system's user.
    pub(super) user: Option<String>,
}

impl Environment {
    /// The process' own.
    pub(super) fn of_process() -> Self {
        let variables = std::env::vars_os()
            .filter_map(|(name, value)| Some((name.into_string().ok()?, value.into_string().ok()?)))
            .filter(|(name, _)| name.starts_with("PG") || name == "DATABASE_URL")
            .collect();
        Environment {
            variables,
            home: std::env::home_dir(),
            user: whoami::username().ok(),
        }
    }

    pub(super) fn var(&self, name: &str) -> Option<&str> {
        self.variables.get(name).map(String::as_str)
    }

    /// A path below the home directory, if there is one.
    pub(super) fn in_home(&self, path: &str) -> Option<PathBuf> {
        self.home.as_ref().map(|home| home.join(path))
    }
}

/// Asks on the terminal.
pub(super) fn ask_password(user: &str) -> std::io::Result<Secret> {
    rpassword::prompt_password(format!(
        "Password for user {}: ",
        crate::objects::quote::one_line(user)
    ))
    .map(Secret::new)
}

fn collect_parameters(
    args: &ConnectArgs,
    positional: Option<&str>,
    environment: &Environment,
) -> Result<Parameters, String> {
    let database = match (args.dbname.as_deref(), positional) {
        (Some(_), Some(_)) => {
            return Err("the database is given twice, as -d and as an argument".to_owned());
        }
        (option, positional) => option.or(positional).filter(|text| !text.is_empty()),
    };
    let mut parameters = Parameters::default();
    for (keyword, value) in [
        ("host", &args.host),
        ("port", &args.port),
        ("user", &args.username),
    ] {
        if let Some(value) = value.as_deref().filter(|value| !value.is_empty()) {
            parameters.set(keyword, value, "the command line")?;
        }
    }
    match database {
        Some(text) if is_connection_string(text) => {
            for (keyword, value) in parse_connection_string(text)? {
                parameters.set(&keyword, &value, "the connection string")?;
            }
        }
        Some(name) => parameters.set("dbname", name, "the command line")?,
        None => {
            let named = |name| environment.var(name).is_some_and(|value| !value.is_empty());
            if let Some(url) = environment
                .var("DATABASE_URL")
                .filter(|url| !url.is_empty())
                && !named("PGDATABASE")
                && !named("PGSERVICE")
            {
                let source = "environment variable DATABASE_URL";
                if !is_connection_string(url) {
                    return Err(format!("{source} is neither a URI nor a keyword string"));
                }
                let pairs = parse_connection_string(url).map_err(|e| format!("{source}: {e}"))?;
                parameters.fill(&pairs, source)?;
            }
        }
    }
    parameters.fill_from_service_and_environment(environment)?;
    Ok(parameters)
}

/// The hosts to try, from the lists `host`, `hostaddr` and `port`.
fn host_list(parameters: &Parameters) -> Result<Vec<HostSettings>, String> {
    let list = |keyword| -> Option<Vec<&str>> {
        Some(
            parameters
                .value(keyword)?
                .split(',')
                .map(str::trim)
                .collect(),
        )
    };
    let (names, addresses, ports) = (list("host"), list("hostaddr"), list("port"));
    let count = names.as_ref().or(addresses.as_ref()).map_or(1, Vec::len);
    if let Some(addresses) = addresses.as_ref().filter(|list| list.len() != count) {
        return Err(format!(
            "there are {count} host names and {} addresses in hostaddr",
            addresses.len()
        ));
    }
    if let Some(ports) = ports
        .as_ref()
        .filter(|list| list.len() != 1 && list.len() != count)
    {
        return Err(format!("there are {count} hosts and {} ports", ports.len()));
    }
    let at = |list: &Option<Vec<&str>>, i: usize| -> String {
        let list = list.as_deref().unwrap_or_default();
        // One port serves all hosts.
        let index = if list.len() == 1 { 0 } else { i };
        list.get(index).copied().unwrap_or_default().to_owned()
    };
    (0..count)
        .map(|i| host_settings(at(&names, i), &at(&addresses, i), &at(&ports, i)))
        .collect()
}

fn host_settings(name: String, address: &str, port: &str) -> Result<HostSettings, String> {
    let port = match port {
        "" => DEFAULT_PORT,
        text => (text.parse().ok())
            .filter(|port| *port != 0)
            .ok_or_else(|| format!("invalid port number: \"{text}\""))?,
    };
    if !address.is_empty() {
        let ip = address
            .parse()
            .map_err(|_| format!("hostaddr \"{address}\" is not a numeric address"))?;
        let name = if name.is_empty() {
            address.to_owned()
        } else {
            name
        };
        return Ok(HostSettings {
            name,
            address: Address::Ip(ip),
            port,
        });
    }
    if name.starts_with('@') {
        return Err(format!("the abstract socket \"{name}\" is not supported"));
    }
    let name = match name.is_empty() {
        true => default_host(port),
        false => name,
    };
    let address = match name.parse() {
        _ if name.starts_with('/') => Address::Socket(PathBuf::from(&name)),
        Ok(ip) => Address::Ip(ip),
        Err(_) => Address::Name(name.clone()),
    };
    Ok(HostSettings {
        name,
        address,
        port,
    })
}

/// Builds of libpq differ in their default socket directory: the one that has a socket is meant.
fn default_host(port: u16) -> String {
    DEFAULT_SOCKET_DIRECTORIES
        .iter()
        .find(|directory| {
            Path::new(directory)
                .join(format!(".s.PGSQL.{port}"))
                .exists()
        })
        .map_or("localhost", |directory| directory)
        .to_owned()
}

/// A number, blanks around it allowed as in libpq.
fn number<T: FromStr>(parameters: &Parameters, keyword: &str) -> Result<Option<T>, String> {
    let Some(text) = parameters.value(keyword) else {
        return Ok(None);
    };
    text.trim().parse().map(Some).map_err(|_| {
        format!(
            "invalid number \"{text}\" for connection parameter \"{keyword}\" ({})",
            parameters.source(keyword)
        )
    })
}

fn seconds(parameters: &Parameters, keyword: &str) -> Result<Option<Duration>, String> {
    Ok(number::<u64>(parameters, keyword)?
        .filter(|seconds| *seconds > 0)
        .map(Duration::from_secs))
}

/// One of the named values; the first is the default.
pub(super) fn choice<T: Copy>(
    parameters: &Parameters,
    keyword: &str,
    choices: &[(&str, T)],
) -> Result<T, String> {
    let Some(text) = parameters.value(keyword) else {
        return Ok(choices[0].1);
    };
    choices
        .iter()
        .find(|(name, _)| *name == text)
        .map(|(_, value)| *value)
        .ok_or_else(|| {
            let names: Vec<&str> = choices.iter().map(|(name, _)| *name).collect();
            format!(
                "invalid value \"{text}\" for connection parameter \"{keyword}\" ({}); it can be {}",
                parameters.source(keyword),
                names.join(", ")
            )
        })
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "tests")]
mod tests {
    use super::*;

    fn environment(variables: &[(&str, &str)]) -> Environment {
        let variables = variables.iter().map(|(k, v)| ((*k).into(), (*v).into()));
        Environment {
            variables: variables.collect(),
            home: Some("/nonexistent".into()),
            user: Some("me".to_owned()),
        }
    }

    fn args(text: &[&str]) -> ConnectArgs {
        let mut args = ConnectArgs::default();
        for pair in text.chunks(2) {
            let value = Some(pair[1].to_owned());
            match pair[0] {
                "-h" => args.host = value,
                "-p" => args.port = value,
                "-U" => args.username = value,
                "-d" => args.dbname = value,
                other => panic!("{other}"),
            }
        }
        args
    }

    fn resolve(
        arguments: &[&str],
        positional: Option<&str>,
        variables: &[(&str, &str)],
    ) -> Result<ConnectSettings> {
        ConnectSettings::resolve_from(&args(arguments), positional, &environment(variables))
    }

    fn described(
        arguments: &[&str],
        positional: Option<&str>,
        variables: &[(&str, &str)],
    ) -> String {
        resolve(arguments, positional, variables)
            .unwrap()
            .describe()
    }

    fn message(arguments: &[&str], variables: &[(&str, &str)]) -> String {
        let error = resolve(arguments, None, variables).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Usage);
        error.message().to_owned()
    }

    const ENVIRONMENT: &[(&str, &str)] = &[
        ("PGHOST", "envhost"),
        ("PGPORT", "1111"),
        ("PGUSER", "envuser"),
        ("PGDATABASE", "envdb"),
    ];

    #[test]
    fn the_environment_is_used_and_arguments_win_over_it() {
        assert_eq!(
            described(&[], None, ENVIRONMENT),
            "envuser@envhost:1111/envdb"
        );
        assert_eq!(
            described(&["-h", "h", "-p", "2", "-U", "u"], Some("d"), ENVIRONMENT),
            "u@h:2/d"
        );
    }

    #[test]
    fn a_connection_string_wins_over_the_other_arguments() {
        for string in ["postgres://u@h/d", "user=u host=h dbname=d"] {
            let arguments = ["-h", "x", "-p", "2", "-U", "y", "-d", string];
            assert_eq!(described(&arguments, None, ENVIRONMENT), "u@h:2/d");
        }
    }

    #[test]
    fn an_empty_value_hides_the_environment() {
        assert_eq!(
            described(&["-d", "host=h port='' user=u"], None, ENVIRONMENT),
            "u@h:5432/envdb"
        );
    }

    #[test]
    fn database_url_counts_only_if_nothing_else_names_a_database() {
        let url = ("DATABASE_URL", "postgres://urluser@urlhost:3/urldb");
        let host = ("PGHOST", "envhost");
        assert_eq!(
            described(&[], None, &[url, host]),
            "urluser@urlhost:3/urldb"
        );
        assert_eq!(described(&["-U", "u"], None, &[url]), "u@urlhost:3/urldb");
        assert_eq!(described(&[], Some("d"), &[url, host]), "me@envhost:5432/d");
        assert_eq!(
            described(&[], None, &[url, host, ("PGDATABASE", "envdb")]),
            "me@envhost:5432/envdb"
        );
    }

    #[test]
    fn a_service_stands_between_the_arguments_and_the_environment() {
        let file = tempfile::NamedTempFile::new().unwrap();
        std::fs::write(file.path(), "[s]\nhost=shost\nport=7\nuser=suser\n").unwrap();
        let variables = [
            ("PGSERVICEFILE", file.path().to_str().unwrap()),
            ("PGHOST", "envhost"),
            ("PGDATABASE", "envdb"),
        ];
        assert_eq!(
            described(&["-p", "8", "-d", "service=s"], None, &variables),
            "suser@shost:8/envdb"
        );
        let error = resolve(&["-d", "service=t"], None, &variables).unwrap_err();
        assert!(error.message().contains("\"t\" not found"), "{error}");
    }

    #[test]
    fn the_database_is_by_default_the_user_and_the_user_the_systems() {
        assert_eq!(described(&["-h", "h"], None, &[]), "me@h:5432/me");
        assert_eq!(described(&["-h", "h", "-U", "u"], None, &[]), "u@h:5432/u");
    }

    #[test]
    fn lists_of_hosts_share_one_port_or_have_one_each() {
        let uri = |uri| described(&[], Some(uri), &[]);
        assert_eq!(uri("postgres://a,b/d?port=1"), "me@a:1,b:1/d");
        assert_eq!(uri("postgres://a:1,b/d"), "me@a:1,b:5432/d");
        assert_eq!(uri("postgres://[::1]/d"), "me@[::1]:5432/d");
        assert!(message(&["-d", "host=a,b,c port=1,2"], &[]).contains("3 hosts and 2 ports"));
        assert!(message(&["-d", "host=a,b hostaddr=::1"], &[]).contains("2 host names and 1"));
    }

    #[test]
    fn what_is_unknown_or_unsupported_is_refused_by_name() {
        assert!(message(&["-d", "hots=a"], &[]).contains("\"hots\""));
        assert!(message(&["-h", "h"], &[("PGSSLCRL", "f")]).contains("variable PGSSLCRL"));
        assert!(message(&["-d", "require_auth=scram-sha-256"], &[]).contains("require_auth"));
        assert!(message(&["-d", "gssencmode=require"], &[]).contains("gssencmode"));
        assert!(message(&["-d", "sslmode=on"], &[]).contains("verify-full"));
        assert!(message(&["-d", "port=0"], &[]).contains("port"));
        assert!(message(&["-d", "sslmode=prefer sslnegotiation=direct"], &[]).contains("direct"));
        assert!(
            resolve(
                &["-d", "gssencmode=prefer sslcrl='' replication=off"],
                None,
                &[]
            )
            .is_ok()
        );
    }

    #[test]
    fn the_database_may_not_be_given_twice() {
        assert!(resolve(&["-d", "a"], Some("b"), &[]).is_err());
    }

    #[test]
    fn passwords_are_never_shown() {
        let settings = resolve(&[], Some("postgres://u:s3cret@h/d"), &[]).unwrap();
        assert!(!format!("{settings:?} {}", settings.describe()).contains("s3cret"));
        let password = settings.password_for(&settings.hosts[0]).unwrap().password;
        assert_eq!(password.reveal(), "s3cret");
        assert!(!format!("{password:?}").contains("s3cret"));
    }

    #[test]
    fn clones_share_a_password_that_was_asked_for() {
        let settings = resolve(&["-h", "h"], None, &[]).unwrap();
        let worker = settings.with_database("other");
        settings.remember_password(Secret::new("p".to_owned()));
        assert!(worker.password_for(&worker.hosts[0]).is_some());
        assert_eq!(worker.database(), "other");
    }
}
