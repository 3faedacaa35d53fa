//! Connections: libpq's rules for settings, TLS, the session settings that everything else relies
//! on, and the server's version.
//!
//! `settings` decides from explicit inputs what to connect to (`parameters` knows libpq's names;
//! `uri`, `keywords`, `service_file` and `passfile` read its notations), `connect` acts on it with
//! `tls`, `failure` words what went wrong, and `session` is the result.

mod connect;
mod failure;
mod keywords;
mod mask;
mod parameters;
mod passfile;
mod service_file;
mod session;
mod settings;
mod tls;
mod uri;
mod version;

pub use connect::connect;
pub use mask::mask_connection_string;
pub(crate) use parameters::is_connection_string;
pub use session::{Canceler, Notice, Session};
pub use settings::ConnectSettings;
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
