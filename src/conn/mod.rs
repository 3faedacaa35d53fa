//! Connections: libpq's rules for settings, TLS, the session settings that everything else relies
//! on, and the server's version.

use crate::{Error, ErrorKind};

mod session;
mod version;

pub use session::Session;
pub use version::ServerVersion;

/// Connection options of the command line, as libpq's clients have them.
#[derive(Clone, Debug, Default, clap::Args)]
pub struct ConnectArgs {
    /// Database name, connection URI (postgresql://...) or keyword string
    #[arg(short = 'd', long = "dbname", value_name = "DB|URL")]
    pub dbname: Option<String>,
    /// Server host or socket directory
    #[arg(short = 'h', long)]
    pub host: Option<String>,
    /// Server port
    #[arg(short = 'p', long)]
    pub port: Option<String>,
    /// Role to connect as
    #[arg(short = 'U', long)]
    pub username: Option<String>,
    /// Never ask for a password
    #[arg(short = 'w', long)]
    pub no_password: bool,
    /// Ask for a password before connecting
    #[arg(short = 'W', long)]
    pub password: bool,
}

/// Everything needed to connect, after precedence (arguments, service file, environment, defaults)
/// was applied. Printing it never shows the password.
#[derive(Clone)]
pub struct ConnectSettings {
    config: tokio_postgres::Config,
}

impl ConnectSettings {
    /// Applies libpq's precedence. `positional` is the command's `[DB|URL]` argument. Reads the
    /// process environment, the service file and the password file; may ask on the terminal (-W).
    pub fn resolve(args: &ConnectArgs, positional: Option<&str>) -> crate::Result<Self> {
        let database = positional.or(args.dbname.as_deref()).unwrap_or("postgres");
        let usage = |_| Error::new(ErrorKind::Usage, "invalid connection string");
        let mut config = if database.contains("://") || database.contains('=') {
            database.parse().map_err(usage)?
        } else {
            let mut config = tokio_postgres::Config::new();
            config.dbname(database);
            config
        };
        let env = |name: &str| std::env::var(name).ok();
        if let Some(host) = args.host.clone().or_else(|| env("PGHOST")) {
            config.host(&host);
        } else if config.get_hosts().is_empty() {
            config.host("/tmp");
        }
        if let Some(port) = args.port.clone().or_else(|| env("PGPORT")) {
            config.port(
                port.parse()
                    .map_err(|_| Error::new(ErrorKind::Usage, "invalid port"))?,
            );
        }
        if let Some(user) = args.username.clone().or_else(|| env("PGUSER")) {
            config.user(&user);
        } else if config.get_user().is_none() {
            config.user("postgres");
        }
        Ok(ConnectSettings { config })
    }

    /// The database to connect to.
    pub fn database(&self) -> &str {
        self.config.get_dbname().unwrap_or("postgres")
    }

    /// The same server and role, another database.
    #[must_use]
    pub fn with_database(&self, database: &str) -> Self {
        let mut other = self.clone();
        other.config.dbname(database);
        other
    }
}

/// Connects and sets up the session (DESIGN section 6).
pub async fn connect(settings: &ConnectSettings) -> crate::Result<Session> {
    Session::open(&settings.config).await
}
