//! Connections: libpq's rules for settings, TLS, the session settings that everything else relies
//! on, and the server's version.

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
pub struct ConnectSettings {}

impl ConnectSettings {
    /// Applies libpq's precedence. `positional` is the command's `[DB|URL]` argument. Reads the
    /// process environment, the service file and the password file; may ask on the terminal (-W).
    pub fn resolve(_args: &ConnectArgs, _positional: Option<&str>) -> crate::Result<Self> {
        Err(crate::Error::internal("conn is not written yet"))
    }

    /// The database to connect to.
    pub fn database(&self) -> &str {
        ""
    }

    /// The same server and role, another database.
    #[must_use]
    pub fn with_database(&self, _database: &str) -> Self {
        self.clone()
    }
}

/// Connects and sets up the session (DESIGN section 6).
pub async fn connect(_settings: &ConnectSettings) -> crate::Result<Session> {
    Err(crate::Error::internal("conn is not written yet"))
}
