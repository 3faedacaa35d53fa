//! Making a connection: hosts in turn, their addresses, with or without TLS, as libpq does.
//!
//! Manual: "Specifying Multiple Hosts", "SSL Mode Descriptions".

use std::hash::{BuildHasher, RandomState};
use std::io::IsTerminal;
use std::net::IpAddr;
use std::time::Duration;

use tokio_postgres::Config;
use tokio_postgres::config::{SslMode as DriverSslMode, SslNegotiation};

use super::failure::{Cause, Failure, into_error};
use super::session::Session;
use super::settings::{
    Address, ConnectSettings, HostSettings, KnownPassword, TargetSession, ask_password,
};
use super::tls::{SslMode, TlsConnector};
use super::version::ServerVersion;
use crate::Result;

/// Connects and sets up the session (DESIGN section 6). Asks for a password on the terminal, once,
/// if the server wants one, none is known, and the settings allow it.
///
/// # Errors
/// [`ErrorKind::Connect`](crate::ErrorKind::Connect), with a detail for each host that was tried; [`ErrorKind::Usage`](crate::ErrorKind::Usage) if the files
/// for TLS cannot be used.
pub async fn connect(settings: &ConnectSettings) -> Result<Session> {
    let failures = match try_targets(settings).await {
        Ok(session) => return Ok(session),
        Err(failures) => failures,
    };
    let wants_password = (failures.last()).is_some_and(|f| f.cause == Cause::PasswordMissing);
    if !wants_password || !settings.ask_for_password || !std::io::stdin().is_terminal() {
        return Err(into_error(settings, failures));
    }
    let user = settings.user.clone();
    match tokio::task::spawn_blocking(move || ask_password(&user)).await {
        Ok(Ok(password)) => settings.remember_password(password),
        Ok(Err(_)) | Err(_) => return Err(into_error(settings, failures)),
    }
    try_targets(settings)
        .await
        .map_err(|failures| into_error(settings, failures))
}

/// `prefer-standby` goes through the hosts twice, every other target once.
async fn try_targets(settings: &ConnectSettings) -> Result<Session, Vec<Failure>> {
    if settings.target != TargetSession::PreferStandby {
        return try_hosts(settings, settings.target).await;
    }
    match try_hosts(settings, TargetSession::Standby).await {
        Err(failures) if !failures.last().is_some_and(Failure::is_final) => {
            try_hosts(settings, TargetSession::Any).await
        }
        result => result,
    }
}

async fn try_hosts(
    settings: &ConnectSettings,
    target: TargetSession,
) -> Result<Session, Vec<Failure>> {
    let mut failures = Vec::new();
    for host in in_order(settings, &settings.hosts) {
        let addresses = match addresses(settings, host).await {
            Ok(addresses) => addresses,
            Err(failure) => {
                failures.push(failure.at(&place(settings, host)));
                continue;
            }
        };
        for address in in_order(settings, &addresses) {
            let pinned = HostSettings {
                address: address.clone(),
                ..host.clone()
            };
            match try_address(settings, &pinned, target, &mut failures).await {
                Some(session) => return Ok(session),
                None if failures.last().is_some_and(Failure::is_final) => return Err(failures),
                None => {}
            }
        }
    }
    Err(failures)
}

/// The addresses of a host: sockets and numbers are themselves, names are looked up.
async fn addresses(
    settings: &ConnectSettings,
    host: &HostSettings,
) -> Result<Vec<Address>, Failure> {
    let Address::Name(name) = &host.address else {
        return Ok(vec![host.address.clone()]);
    };
    let lookup = async {
        let found = tokio::net::lookup_host((name.as_str(), host.port)).await;
        found
            .map(|found| found.map(|address| Address::Ip(address.ip())).collect())
            .map_err(|e| Failure::new(Cause::Network, e.to_string()))
    };
    within(settings.connect_timeout, lookup).await
}

/// One address, with each kind of encryption that `sslmode` allows. What fails is added to
/// `failures`.
async fn try_address(
    settings: &ConnectSettings,
    host: &HostSettings,
    target: TargetSession,
    failures: &mut Vec<Failure>,
) -> Option<Session> {
    let encryptions = encryptions(settings.tls.mode, host);
    for (i, encryption) in encryptions.iter().enumerate() {
        let password = settings.password_for(host);
        let tls = match encryption {
            Encryption::None => Ok(None),
            Encryption::IfOffered | Encryption::Tls => settings.tls.connector().map(Some),
        };
        let result = match tls {
            Ok(tls) => {
                let attempt = Attempt {
                    settings,
                    host,
                    encryption: *encryption,
                    tls: tls.clone(),
                    password: password.as_ref(),
                };
                within(settings.connect_timeout, attempt.run(target))
                    .await
                    .map_err(|failure| (failure, tls.is_some_and(|tls| tls.used())))
            }
            Err(text) => Err((Failure::new(Cause::Settings, text), false)),
        };
        let (failure, encrypted) = match result {
            Ok(session) => return Some(session),
            Err(failed) => failed,
        };
        // Without TLS the server that has none would refuse in the same way again.
        let changes = encrypted || *encryption == Encryption::None;
        let retry = changes && failure.concerns_encryption() && i + 1 < encryptions.len();
        let how = if encrypted { " with TLS" } else { "" };
        let place = format!("{}{how}", place(settings, host));
        failures.push(failure.with_password(password.as_ref()).at(&place));
        if !retry {
            break;
        }
    }
    None
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Encryption {
    None,
    /// TLS if the server has it.
    IfOffered,
    Tls,
}

/// What to try in turn. There is no TLS on unix sockets, whatever the mode, as in libpq.
fn encryptions(mode: SslMode, host: &HostSettings) -> &'static [Encryption] {
    match mode {
        _ if host.is_socket() => &[Encryption::None],
        SslMode::Disable => &[Encryption::None],
        SslMode::Allow => &[Encryption::None, Encryption::Tls],
        SslMode::Prefer => &[Encryption::IfOffered, Encryption::None],
        SslMode::Require | SslMode::VerifyCa | SslMode::VerifyFull => &[Encryption::Tls],
    }
}

/// All that decides about one connection to one address.
struct Attempt<'a> {
    settings: &'a ConnectSettings,
    host: &'a HostSettings,
    encryption: Encryption,
    tls: Option<TlsConnector>,
    password: Option<&'a KnownPassword>,
}

impl Attempt<'_> {
    async fn run(self, target: TargetSession) -> Result<Session, Failure> {
        let config = self.config();
        let session = match &self.tls {
            Some(tls) => {
                let (client, connection) =
                    (config.connect(tls.clone()).await).map_err(Failure::of_driver)?;
                let tls = Some(tls.clone()).filter(TlsConnector::used);
                let settings = self.pinned_settings(tls.is_some());
                Session::start(client, connection, tls, settings).await
            }
            None => {
                let (client, connection) =
                    (config.connect(tokio_postgres::NoTls).await).map_err(Failure::of_driver)?;
                Session::start(client, connection, None, self.pinned_settings(false)).await
            }
        };
        let session = session.map_err(Failure::of_driver)?;
        check_version(session.version())?;
        check_target(target, &session)?;
        Ok(session)
    }

    fn config(&self) -> Config {
        let Attempt { settings, host, .. } = self;
        let mut config = Config::new();
        config
            .user(&settings.user)
            .dbname(&settings.database)
            .application_name(&settings.application_name)
            .port(host.port)
            .channel_binding(settings.channel_binding)
            .ssl_mode(match self.encryption {
                Encryption::None => DriverSslMode::Disable,
                Encryption::IfOffered => DriverSslMode::Prefer,
                Encryption::Tls => DriverSslMode::Require,
            })
            .ssl_negotiation(match settings.tls.direct {
                true => SslNegotiation::Direct,
                false => SslNegotiation::Postgres,
            });
        match &host.address {
            Address::Socket(directory) => config.host_path(directory),
            // The name is what the certificate is for, the address where we go.
            Address::Ip(ip) => config.host(&host.name).hostaddr(*ip),
            Address::Name(name) => config.host(name),
        };
        if let Some(known) = self.password {
            config.password(known.password.reveal());
        }
        if let Some(options) = &settings.options {
            config.options(options);
        }
        let keepalive = &settings.keepalive;
        config.keepalives(keepalive.enabled);
        if let Some(idle) = keepalive.idle {
            config.keepalives_idle(idle);
        }
        if let Some(interval) = keepalive.interval {
            config.keepalives_interval(interval);
        }
        if let Some(count) = keepalive.count {
            config.keepalives_retries(count);
        }
        if let Some(timeout) = keepalive.user_timeout {
            config.tcp_user_timeout(timeout);
        }
        config
    }

    /// The settings with everything decided: this host and address, this encryption, this password.
    fn pinned_settings(&self, encrypted: bool) -> ConnectSettings {
        let mut settings = self.settings.clone();
        settings.hosts = vec![self.host.clone()];
        settings.target = TargetSession::Any;
        settings.tls.mode = match encrypted {
            true => settings.tls.mode.max(SslMode::Require),
            false => SslMode::Disable,
        };
        settings.ask_for_password = false;
        settings.warnings = Vec::new();
        if let Some(known) = self.password {
            settings.pin_password(known.password.clone());
        }
        settings
    }
}

fn check_version(version: ServerVersion) -> Result<(), Failure> {
    if version >= ServerVersion::OLDEST {
        return Ok(());
    }
    Err(Failure::new(
        Cause::Version,
        format!(
            "the server's version is {version}; {} is the oldest that is supported",
            ServerVersion::OLDEST.major_number()
        ),
    ))
}

fn check_target(target: TargetSession, session: &Session) -> Result<(), Failure> {
    let facts = session.facts();
    let read_only = facts.in_recovery || facts.read_only;
    let (wanted, text) = match target {
        TargetSession::Any | TargetSession::PreferStandby => (true, ""),
        TargetSession::ReadWrite => (!read_only, "the session is read-only"),
        TargetSession::ReadOnly => (read_only, "the session is not read-only"),
        TargetSession::Primary => (!facts.in_recovery, "the server is a standby"),
        TargetSession::Standby => (facts.in_recovery, "the server is not a standby"),
    };
    match wanted {
        true => Ok(()),
        false => Err(Failure::new(Cause::WrongTarget, text)),
    }
}

/// `future`, but not longer than `timeout`.
async fn within<T>(
    timeout: Option<Duration>,
    future: impl Future<Output = Result<T, Failure>>,
) -> Result<T, Failure> {
    let Some(timeout) = timeout else {
        return future.await;
    };
    tokio::time::timeout(timeout, future)
        .await
        .unwrap_or_else(|_| {
            let seconds = timeout.as_secs();
            Err(Failure::new(
                Cause::Timeout,
                format!("no connection within {seconds} s"),
            ))
        })
}

/// Where and as whom, for a line of detail.
fn place(settings: &ConnectSettings, host: &HostSettings) -> String {
    let ConnectSettings { user, database, .. } = settings;
    let at = match &host.address {
        Address::Ip(ip) if host.name.parse() != Ok::<IpAddr, _>(*ip) => {
            format!("host {} ({ip})", host.name)
        }
        Address::Ip(_) | Address::Name(_) => format!("host {}", host.name),
        Address::Socket(directory) => format!("socket directory {}", directory.display()),
    };
    format!(
        "{at}, port {}, user \"{user}\", database \"{database}\"",
        host.port
    )
}

/// The items as they are, or shuffled for `load_balance_hosts=random`.
fn in_order<'a, T>(settings: &ConnectSettings, items: &'a [T]) -> Vec<&'a T> {
    let mut order: Vec<(usize, &T)> = items.iter().enumerate().collect();
    if settings.load_balance {
        // Randomly keyed by the standard library, which is random enough to spread load.
        let random = RandomState::new();
        order.sort_by_key(|(i, _)| random.hash_one(i));
    }
    order.into_iter().map(|(_, item)| item).collect()
}
