//! TLS with rustls, under libpq's six `sslmode`s.
//!
//! Manual: "SSL Support" in the chapter on libpq. As in libpq, a root certificate that exists is
//! used whatever the mode, so `require` with `~/.postgresql/root.crt` behaves as `verify-ca`; and
//! a certificate without alternative names is matched by its common name. Different from libpq:
//! certificates of X.509 version 1 are refused by rustls, revocation lists and keys with a
//! passphrase are not supported.

use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, OnceLock};

use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::client::{verify_server_cert_signed_by_trust_anchor, verify_server_name};
use rustls::crypto::{CryptoProvider, verify_tls12_signature, verify_tls13_signature};
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, ServerName, UnixTime};
use rustls::server::ParsedCertificate;
use rustls::{
    CertificateError, ClientConfig, DigitallySignedStruct, RootCertStore, SignatureScheme,
    SupportedProtocolVersion,
};
use tokio_postgres::Socket;
use tokio_postgres::tls::{MakeTlsConnect, TlsConnect};
use tokio_postgres_rustls::MakeRustlsConnect;
use x509_cert::der::Decode;
use x509_cert::der::oid::db::rfc4519::COMMON_NAME;
use x509_cert::der::oid::db::rfc5280::ID_CE_SUBJECT_ALT_NAME;

use super::parameters::Parameters;
use super::settings::{Environment, choice};

/// `sslmode`, from the weakest to the strictest.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum SslMode {
    Disable,
    Allow,
    Prefer,
    Require,
    VerifyCa,
    VerifyFull,
}

/// How to make TLS connections. Files are read when the first one is made, then kept.
#[derive(Clone)]
pub(super) struct TlsSettings {
    pub(super) mode: SslMode,
    /// Begin with the handshake instead of asking the server whether it has TLS.
    pub(super) direct: bool,
    roots: Roots,
    client: ClientCertificate,
    sni: bool,
    versions: Vec<&'static SupportedProtocolVersion>,
    config: Arc<OnceLock<Arc<ClientConfig>>>,
}

#[derive(Clone)]
enum Roots {
    /// `sslrootcert=system`.
    System,
    /// A file, which must exist only if the mode verifies.
    File(PathBuf),
    /// There is not even a home directory.
    None,
}

#[derive(Clone)]
struct ClientCertificate {
    /// With whether it was asked for; the default file may be missing.
    certificate: Option<(PathBuf, bool)>,
    key: Option<PathBuf>,
}

impl TlsSettings {
    pub(super) fn build(
        parameters: &Parameters,
        environment: &Environment,
    ) -> Result<Self, String> {
        let roots = match parameters.value("sslrootcert") {
            Some("system") => Roots::System,
            Some(path) => Roots::File(PathBuf::from(path)),
            None => (environment.in_home(".postgresql/root.crt")).map_or(Roots::None, Roots::File),
        };
        let mode = mode(parameters, environment, matches!(roots, Roots::System))?;
        let direct = choice(
            parameters,
            "sslnegotiation",
            &[("postgres", false), ("direct", true)],
        )?;
        if direct && mode < SslMode::Require {
            return Err("sslnegotiation=direct needs sslmode=require or stricter".to_owned());
        }
        // "require" demands that the server asks for a certificate, which rustls does not tell.
        let send = choice(
            parameters,
            "sslcertmode",
            &[("allow", true), ("disable", false)],
        )?;
        let given = |keyword| parameters.value(keyword).map(PathBuf::from);
        let certificate = match given("sslcert") {
            Some(path) => Some((path, true)),
            None => environment
                .in_home(".postgresql/postgresql.crt")
                .map(|path| (path, false)),
        };
        Ok(TlsSettings {
            mode,
            direct,
            roots,
            client: ClientCertificate {
                certificate: certificate.filter(|_| send),
                key: given("sslkey").or_else(|| environment.in_home(".postgresql/postgresql.key")),
            },
            sni: choice(parameters, "sslsni", &[("1", true), ("0", false)])?,
            versions: versions(parameters)?,
            config: Arc::default(),
        })
    }

    /// The connector for one connection.
    ///
    /// The error is a factual line about a file that is missing or not usable.
    pub(super) fn connector(&self) -> Result<TlsConnector, String> {
        let config = match self.config.get() {
            Some(config) => Arc::clone(config),
            None => {
                let config = Arc::new(self.client_config()?);
                Arc::clone(self.config.get_or_init(|| config))
            }
        };
        Ok(TlsConnector {
            inner: MakeRustlsConnect::new(ClientConfig::clone(&config)),
            used: Arc::default(),
        })
    }

    fn client_config(&self) -> Result<ClientConfig, String> {
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let verifier = Verifier {
            check: self.check()?,
            provider: Arc::clone(&provider),
        };
        let builder = ClientConfig::builder_with_provider(provider)
            .with_protocol_versions(&self.versions)
            .map_err(|e| format!("TLS: {e}"))?
            .dangerous()
            .with_custom_certificate_verifier(Arc::new(verifier));
        let mut config = match self.client.load()? {
            Some((chain, key)) => builder
                .with_client_auth_cert(chain, key)
                .map_err(|e| format!("the client certificate and its key cannot be used: {e}"))?,
            None => builder.with_no_client_auth(),
        };
        config.enable_sni = self.sni;
        // PostgreSQL 17 and later insist on it with direct negotiation; older ones overlook it.
        config.alpn_protocols = vec![b"postgresql".to_vec()];
        Ok(config)
    }

    fn check(&self) -> Result<Check, String> {
        let trusted = match &self.roots {
            Roots::System => system_roots()?,
            Roots::File(path) if path.exists() => certificates(path)?,
            Roots::File(path) if self.mode >= SslMode::VerifyCa => {
                return Err(format!(
                    "root certificate file \"{}\" does not exist; provide it, set sslrootcert, \
                     or choose an sslmode that does not verify",
                    path.display()
                ));
            }
            Roots::None if self.mode >= SslMode::VerifyCa => {
                return Err(
                    "there is no home directory for a root certificate file; set sslrootcert"
                        .to_owned(),
                );
            }
            Roots::File(_) | Roots::None => return Ok(Check::Nothing),
        };
        let mut roots = RootCertStore::empty();
        let (usable, _) = roots.add_parsable_certificates(trusted.iter().cloned());
        if usable == 0 {
            return Err("there is no usable root certificate in sslrootcert".to_owned());
        }
        Ok(Check::Chain {
            roots,
            trusted,
            name: self.mode == SslMode::VerifyFull,
        })
    }
}

fn mode(
    parameters: &Parameters,
    environment: &Environment,
    system_roots: bool,
) -> Result<SslMode, String> {
    let default = match environment.var("PGREQUIRESSL") {
        _ if system_roots => SslMode::VerifyFull,
        Some("1") => SslMode::Require,
        _ => SslMode::Prefer,
    };
    let mode = match parameters.value("sslmode") {
        None => default,
        Some(_) => choice(
            parameters,
            "sslmode",
            &[
                ("disable", SslMode::Disable),
                ("allow", SslMode::Allow),
                ("prefer", SslMode::Prefer),
                ("require", SslMode::Require),
                ("verify-ca", SslMode::VerifyCa),
                ("verify-full", SslMode::VerifyFull),
            ],
        )?,
    };
    if system_roots && mode != SslMode::VerifyFull {
        return Err(
            "sslrootcert=system needs sslmode=verify-full: anyone can have a certificate of a public authority"
                .to_owned(),
        );
    }
    Ok(mode)
}

/// The versions between `ssl_min_protocol_version` and `ssl_max_protocol_version`; rustls knows
/// 1.2 and 1.3, so that older minimums change nothing.
fn versions(parameters: &Parameters) -> Result<Vec<&'static SupportedProtocolVersion>, String> {
    let least = choice(
        parameters,
        "ssl_min_protocol_version",
        &[("TLSv1.2", 2), ("TLSv1.3", 3), ("TLSv1", 0), ("TLSv1.1", 1)],
    )?;
    let most = choice(
        parameters,
        "ssl_max_protocol_version",
        &[("TLSv1.3", 3), ("TLSv1.2", 2)],
    )?;
    match (least, most) {
        (3, 3) => Ok(vec![&rustls::version::TLS13]),
        (3, _) => Err("ssl_min_protocol_version is above ssl_max_protocol_version".to_owned()),
        (_, 2) => Ok(vec![&rustls::version::TLS12]),
        _ => Ok(vec![&rustls::version::TLS13, &rustls::version::TLS12]),
    }
}

fn system_roots() -> Result<Vec<CertificateDer<'static>>, String> {
    let found = rustls_native_certs::load_native_certs();
    match found.errors.first() {
        Some(error) if found.certs.is_empty() => Err(format!(
            "could not read the system's root certificates: {error}"
        )),
        _ => Ok(found.certs),
    }
}

fn certificates(path: &Path) -> Result<Vec<CertificateDer<'static>>, String> {
    let certificates: Vec<_> = CertificateDer::pem_file_iter(path)
        .and_then(Iterator::collect)
        .map_err(|e| {
            format!(
                "could not read certificate file \"{}\": {e}",
                path.display()
            )
        })?;
    match certificates.is_empty() {
        true => Err(format!("there is no certificate in \"{}\"", path.display())),
        false => Ok(certificates),
    }
}

impl ClientCertificate {
    fn load(
        &self,
    ) -> Result<Option<(Vec<CertificateDer<'static>>, PrivateKeyDer<'static>)>, String> {
        let Some((path, demanded)) = &self.certificate else {
            return Ok(None);
        };
        if !demanded && !path.exists() {
            return Ok(None);
        }
        let chain = certificates(path)?;
        let Some(key) = &self.key else {
            return Err("there is a client certificate but no key for it; set sslkey".to_owned());
        };
        check_key_permissions(key)?;
        let key = PrivateKeyDer::from_pem_file(key).map_err(|e| {
            format!(
                "could not read private key file \"{}\": {e} (keys with a passphrase are not supported)",
                key.display()
            )
        })?;
        Ok(Some((chain, key)))
    }
}

/// As libpq: the user's key is for the user alone; root's may be readable by its group.
fn check_key_permissions(path: &Path) -> Result<(), String> {
    let metadata = std::fs::metadata(path).map_err(|e| {
        format!(
            "could not read private key file \"{}\": {e}",
            path.display()
        )
    })?;
    let forbidden = if metadata.uid() == 0 { 0o037 } else { 0o077 };
    match metadata.mode() & forbidden {
        0 => Ok(()),
        _ => Err(format!(
            "private key file \"{}\" is open to group or others; run chmod 0600 on it",
            path.display()
        )),
    }
}

/// What of the server's certificate is verified.
#[derive(Debug)]
enum Check {
    Nothing,
    Chain {
        roots: RootCertStore,
        /// The same certificates: a server may present one of them as its own.
        trusted: Vec<CertificateDer<'static>>,
        /// Whether the certificate must be for the host's name.
        name: bool,
    },
}

#[derive(Debug)]
struct Verifier {
    check: Check,
    provider: Arc<CryptoProvider>,
}

impl ServerCertVerifier for Verifier {
    fn verify_server_cert(
        &self,
        end_entity: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        server_name: &ServerName<'_>,
        _ocsp_response: &[u8],
        now: UnixTime,
    ) -> Result<ServerCertVerified, rustls::Error> {
        let Check::Chain {
            roots,
            trusted,
            name,
        } = &self.check
        else {
            return Ok(ServerCertVerified::assertion());
        };
        let parsed = ParsedCertificate::try_from(end_entity)?;
        let chain = verify_server_cert_signed_by_trust_anchor(
            &parsed,
            roots,
            intermediates,
            now,
            self.provider.signature_verification_algorithms.all,
        );
        match chain {
            // The manual's own recipe makes a self-signed certificate that is root and server at
            // once. webpki refuses it for being a CA, after it has checked its validity.
            Err(error) if is_authority(&error) && trusted.contains(end_entity) => {}
            other => other?,
        }
        if *name {
            check_name(end_entity, &parsed, server_name)?;
        }
        Ok(ServerCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        let algorithms = &self.provider.signature_verification_algorithms;
        verify_tls12_signature(message, cert, dss, algorithms)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        let algorithms = &self.provider.signature_verification_algorithms;
        verify_tls13_signature(message, cert, dss, algorithms)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.provider
            .signature_verification_algorithms
            .supported_schemes()
    }
}

/// Whether webpki refused the certificate only for being a certificate authority's. Its own error
/// type is not exported by rustls, its name is.
fn is_authority(error: &rustls::Error) -> bool {
    matches!(error, rustls::Error::InvalidCertificate(CertificateError::Other(other))
        if format!("{other:?}").contains("CaUsedAsEndEntity"))
}

/// By alternative names; by the common name if there are none, as libpq does.
fn check_name(
    certificate: &CertificateDer<'_>,
    parsed: &ParsedCertificate<'_>,
    server_name: &ServerName<'_>,
) -> Result<(), rustls::Error> {
    let by_alternative_name = verify_server_name(parsed, server_name);
    match (&by_alternative_name, lone_common_name(certificate)) {
        (Err(_), Some(common_name)) if matches_name(&common_name, &server_name.to_str()) => Ok(()),
        _ => by_alternative_name,
    }
}

/// The subject's common name, if the certificate has no alternative names.
fn lone_common_name(certificate: &CertificateDer<'_>) -> Option<String> {
    let certificate = x509_cert::Certificate::from_der(certificate).ok()?;
    let body = certificate.tbs_certificate;
    let mut extensions = body.extensions.iter().flatten();
    if extensions.any(|extension| extension.extn_id == ID_CE_SUBJECT_ALT_NAME) {
        return None;
    }
    let mut attributes = body.subject.0.iter().flat_map(|rdn| rdn.0.iter());
    let name = attributes.find(|attribute| attribute.oid == COMMON_NAME)?;
    // UTF8String and PrintableString alike; a NUL inside is an old trick.
    let name = std::str::from_utf8(name.value.value()).ok()?;
    (!name.contains('\0')).then(|| name.to_owned())
}

/// Whether a common name, with a star for at most its first label, is the host's.
fn matches_name(pattern: &str, host: &str) -> bool {
    if pattern.eq_ignore_ascii_case(host) {
        return true;
    }
    let (Some(domain), Some((label, rest))) = (pattern.strip_prefix("*."), host.split_once('.'))
    else {
        return false;
    };
    !label.is_empty() && domain.contains('.') && domain.eq_ignore_ascii_case(rest)
}

/// A connector that remembers whether the server agreed to TLS.
#[derive(Clone)]
pub(super) struct TlsConnector {
    inner: MakeRustlsConnect,
    used: Arc<AtomicBool>,
}

impl TlsConnector {
    /// Whether a handshake was begun.
    pub(super) fn used(&self) -> bool {
        self.used.load(Ordering::Relaxed)
    }
}

type Inner = <MakeRustlsConnect as MakeTlsConnect<Socket>>::TlsConnect;

impl MakeTlsConnect<Socket> for TlsConnector {
    type Stream = <Inner as TlsConnect<Socket>>::Stream;
    type TlsConnect = Handshake;
    type Error = std::convert::Infallible;

    fn make_tls_connect(&mut self, domain: &str) -> Result<Handshake, Self::Error> {
        let inner = MakeTlsConnect::<Socket>::make_tls_connect(&mut self.inner, domain)?;
        Ok(Handshake {
            inner,
            used: Arc::clone(&self.used),
        })
    }
}

/// One handshake to be made.
pub(super) struct Handshake {
    inner: Inner,
    used: Arc<AtomicBool>,
}

impl TlsConnect<Socket> for Handshake {
    type Stream = <Inner as TlsConnect<Socket>>::Stream;
    type Error = <Inner as TlsConnect<Socket>>::Error;
    type Future = <Inner as TlsConnect<Socket>>::Future;

    fn connect(self, stream: Socket) -> Self::Future {
        self.used.store(true, Ordering::Relaxed);
        self.inner.connect(stream)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_star_stands_for_one_label() {
        assert!(matches_name("db.example.com", "DB.example.com"));
        assert!(matches_name("*.example.com", "db.example.com"));
        assert!(!matches_name("*.example.com", "a.db.example.com"));
        assert!(!matches_name("*.example.com", "example.com"));
        assert!(!matches_name("*.com", "example.com"));
        assert!(!matches_name("*", "db"));
    }
}
