//! Connecting as libpq does: passwords, TLS, several hosts. On a server of its own, with TLS and a
//! pg_hba.conf that has a role for each way in.

use std::os::unix::fs::{MetadataExt, PermissionsExt, chown};
use std::path::{Path, PathBuf};

use pgstow::conn::{ConnectArgs, ConnectSettings, Session, connect};
use pgstow::{Error, ErrorKind};
use rcgen::{BasicConstraints, CertificateParams, DnType, IsCa, Issuer, KeyPair};

use crate::harness::database::run_psql;
use crate::harness::server::{Server, newest};

const HBA: &str = "\
local all all trust
host all postgres 127.0.0.1/32 trust
hostssl all only_tls 127.0.0.1/32 trust
hostnossl all only_plain 127.0.0.1/32 trust
hostssl all with_certificate 127.0.0.1/32 cert
host all with_scram 127.0.0.1/32 scram-sha-256
host all with_md5 127.0.0.1/32 md5
";

const ROLES: &str = "\
CREATE ROLE only_tls LOGIN; CREATE ROLE only_plain LOGIN; CREATE ROLE with_certificate LOGIN;
SET password_encryption = 'scram-sha-256'; CREATE ROLE with_scram LOGIN PASSWORD 's3cret';
SET password_encryption = 'md5'; CREATE ROLE with_md5 LOGIN PASSWORD 's3cret';
ALTER SYSTEM SET ssl_cert_file = 'pgstow.crt'; ALTER SYSTEM SET ssl_key_file = 'pgstow.key';
ALTER SYSTEM SET ssl_ca_file = 'pgstow_ca.crt'; ALTER SYSTEM SET ssl = on;
SELECT pg_reload_conf(); SELECT pg_sleep(0.5);";

#[test]
fn connections_follow_libpqs_rules() {
    let major = newest();
    let server = TlsServer::start(major);
    tokio::runtime::Runtime::new().unwrap().block_on(async {
        server.each_sslmode_decides_as_libpq().await;
        server.certificates_are_verified_as_far_as_asked().await;
        server.clients_show_certificates().await;
        server.passwords_come_from_strings_and_files().await;
        server.hosts_are_tried_in_turn().await;
        server.sessions_are_set_up_and_cancelled().await;
    });
}

struct TlsServer {
    server: Server,
    files: tempfile::TempDir,
}

impl TlsServer {
    fn start(major: u32) -> TlsServer {
        let server = Server::alone(major);
        let files = tempfile::tempdir().unwrap();
        let data = server.dir.join("data");
        let authority = Authority::new("pgstow test authority");
        Authority::new("another authority").write(&files.path().join("other_ca.crt"));
        authority.write(&files.path().join("ca.crt"));
        authority.issue("with_certificate", &[], &files.path().join("client"));
        authority.write(&data.join("pgstow_ca.crt"));
        authority.issue("localhost", &["localhost"], &data.join("pgstow"));
        let owner = std::fs::metadata(&data).unwrap();
        for file in ["pgstow.crt", "pgstow.key", "pgstow_ca.crt"] {
            chown(data.join(file), Some(owner.uid()), Some(owner.gid())).unwrap();
        }
        std::fs::write(data.join("pg_hba.conf"), HBA).unwrap();
        run_psql(&server, "postgres", ROLES).unwrap();
        TlsServer { server, files }
    }

    fn file(&self, name: &str) -> PathBuf {
        self.files.path().join(name)
    }

    /// Connects to the server by the name of its certificate, unless `more` says otherwise.
    async fn connect(&self, user: &str, more: &str) -> Result<Session, Error> {
        let port = self.server.port;
        let string = format!(
            "host=localhost hostaddr=127.0.0.1 port={port} dbname=postgres user={user} \
             passfile=/nonexistent sslcert=/nonexistent sslcertmode=disable {more}"
        );
        let args = ConnectArgs {
            no_password: true,
            ..ConnectArgs::default()
        };
        connect(&ConnectSettings::resolve(&args, Some(&string))?).await
    }

    /// Whether the connection came about with TLS; `None` if there was none.
    async fn encrypted(&self, user: &str, more: &str) -> Option<bool> {
        let session = self.connect(user, more).await.ok()?;
        let told = session
            .query_one(
                "SELECT ssl FROM pg_stat_ssl WHERE pid = pg_backend_pid()",
                &[],
            )
            .await
            .unwrap();
        assert_eq!(told.get::<_, bool>("ssl"), session.is_encrypted());
        let again = connect(&session.settings_of_this_server()).await.unwrap();
        assert_eq!(again.is_encrypted(), session.is_encrypted());
        Some(session.is_encrypted())
    }

    async fn refusal(&self, user: &str, more: &str) -> String {
        let error = self.connect(user, more).await.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Connect, "{error}");
        let text = error.to_string();
        assert!(
            !text.contains("s3cret") && !text.contains("wr0ng"),
            "{text}"
        );
        text
    }

    async fn each_sslmode_decides_as_libpq(&self) {
        for (mode, any, only_tls, only_plain) in [
            ("disable", Some(false), None, Some(false)),
            ("allow", Some(false), Some(true), Some(false)),
            ("prefer", Some(true), Some(true), Some(false)),
            ("require", Some(true), Some(true), None),
        ] {
            // A file that is not there verifies nothing, wherever the tests run.
            let mode = format!("sslmode={mode} sslrootcert=/nonexistent");
            assert_eq!(self.encrypted("postgres", &mode).await, any, "{mode}");
            assert_eq!(self.encrypted("only_tls", &mode).await, only_tls, "{mode}");
            assert_eq!(
                self.encrypted("only_plain", &mode).await,
                only_plain,
                "{mode}"
            );
        }
    }

    async fn certificates_are_verified_as_far_as_asked(&self) {
        let (ours, other) = (self.file("ca.crt"), self.file("other_ca.crt"));
        let with =
            |mode: &str, root: &Path| format!("sslmode={mode} sslrootcert={}", root.display());
        for mode in ["verify-ca", "verify-full"] {
            assert_eq!(
                self.encrypted("postgres", &with(mode, &ours)).await,
                Some(true)
            );
            let text = self.refusal("postgres", &with(mode, &other)).await;
            assert!(text.contains("UnknownIssuer"), "{text}");
            let error = self
                .connect("postgres", &with(mode, Path::new("/nonexistent")))
                .await;
            assert_eq!(error.unwrap_err().kind(), ErrorKind::Usage);
        }
        let text = self.refusal("postgres", &with("require", &other)).await;
        assert!(text.contains("UnknownIssuer"), "{text}");
        let other_name = format!("{} host=127.0.0.1", with("verify-ca", &ours));
        assert_eq!(self.encrypted("postgres", &other_name).await, Some(true));
        let other_name = format!("{} host=127.0.0.1", with("verify-full", &ours));
        let text = self.refusal("postgres", &other_name).await;
        assert!(text.contains("not valid for name \"127.0.0.1\""), "{text}");
    }

    async fn clients_show_certificates(&self) {
        let (certificate, key) = (self.file("client.crt"), self.file("client.key"));
        let with = format!(
            "sslmode=require sslcertmode=allow sslcert={} sslkey={}",
            certificate.display(),
            key.display()
        );
        assert_eq!(self.encrypted("with_certificate", &with).await, Some(true));
        let text = self.refusal("with_certificate", "sslmode=require").await;
        assert!(text.contains("SQLSTATE 28000"), "{text}");
        std::fs::set_permissions(&key, std::fs::Permissions::from_mode(0o644)).unwrap();
        let error = self.connect("with_certificate", &with).await.unwrap_err();
        assert!(error.to_string().contains("chmod 0600"), "{error}");
    }

    async fn passwords_come_from_strings_and_files(&self) {
        for user in ["with_scram", "with_md5"] {
            assert!(self.connect(user, "password=s3cret").await.is_ok());
            let text = self.refusal(user, "password=wr0ng").await;
            assert!(text.contains("SQLSTATE 28P01"), "{text}");
            let text = self.refusal(user, "").await;
            assert!(text.contains("asks for a password"), "{text}");
        }
        let bound = "password=s3cret channel_binding=require";
        assert!(
            self.connect("with_scram", &format!("{bound} sslmode=require"))
                .await
                .is_ok()
        );
        assert!(
            self.connect("with_scram", &format!("{bound} sslmode=disable"))
                .await
                .is_err()
        );
        assert!(
            self.connect("with_md5", &format!("{bound} sslmode=require"))
                .await
                .is_err()
        );
        let passfile = self.file("pgpass");
        std::fs::write(
            &passfile,
            "localhost:*:*:with_scram:s3cret\n*:*:*:*:wr0ng\n",
        )
        .unwrap();
        std::fs::set_permissions(&passfile, std::fs::Permissions::from_mode(0o600)).unwrap();
        let with = format!("passfile={}", passfile.display());
        assert!(self.connect("with_scram", &with).await.is_ok());
        let text = self.refusal("with_md5", &with).await;
        assert!(text.contains("the password is from"), "{text}");
    }

    async fn hosts_are_tried_in_turn(&self) {
        let closed = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        let closed_port = closed.local_addr().unwrap().port();
        drop(closed);
        let two = format!(
            "host=127.0.0.1,127.0.0.1 hostaddr='' port={closed_port},{}",
            self.server.port
        );
        assert!(self.connect("postgres", &two).await.is_ok());
        let standby = format!("{two} target_session_attrs=standby");
        let text = self.refusal("postgres", &standby).await;
        assert!(
            text.contains("refused") && text.contains("not a standby"),
            "{text}"
        );
        for target in ["prefer-standby", "primary", "read-write", "any"] {
            let with = format!("{two} target_session_attrs={target}");
            assert!(self.connect("postgres", &with).await.is_ok(), "{target}");
        }
        let text = self.refusal("postgres", "dbname=absent").await;
        assert!(text.contains("SQLSTATE 3D000"), "{text}");
    }

    async fn sessions_are_set_up_and_cancelled(&self) {
        for mode in ["disable", "require"] {
            let session = self
                .connect("postgres", &format!("sslmode={mode}"))
                .await
                .unwrap();
            assert_eq!(
                (session.database(), session.encoding()),
                ("postgres", "UTF8")
            );
            assert_eq!(session.version().major_number(), self.server.major);
            for (name, value) in [("search_path", ""), ("row_security", "off"), ("jit", "off")] {
                let row = session
                    .query_one("SELECT current_setting($1) AS v", &[&name])
                    .await;
                assert_eq!(row.unwrap().get::<_, String>("v"), value, "{name}");
            }
            session
                .batch_execute("DO $$ BEGIN RAISE NOTICE 'hello'; END $$")
                .await
                .unwrap();
            assert_eq!(session.take_notices()[0].message, "hello");
            // The request may come before the statement: it is repeated until it hits.
            let canceler = session.canceler();
            let repeated = async {
                loop {
                    canceler.cancel().await.unwrap();
                    tokio::time::sleep(std::time::Duration::from_millis(50)).await;
                }
            };
            let result = tokio::select! {
                result = session.batch_execute("SELECT pg_sleep(60)") => result,
                () = repeated => unreachable!(),
            };
            assert_eq!(result.unwrap_err().code().unwrap().code(), "57014");
            session.close().await;
        }
    }
}

struct Authority {
    pem: String,
    issuer: Issuer<'static, KeyPair>,
}

impl Authority {
    fn new(name: &str) -> Authority {
        let mut params = CertificateParams::default();
        params.distinguished_name.push(DnType::CommonName, name);
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        let key = KeyPair::generate().unwrap();
        let pem = params.self_signed(&key).unwrap().pem();
        let issuer = Issuer::new(params, key);
        Authority { pem, issuer }
    }

    fn write(&self, path: &Path) {
        std::fs::write(path, &self.pem).unwrap();
    }

    /// Writes `base`.crt and `base`.key.
    fn issue(&self, common_name: &str, names: &[&str], base: &Path) {
        let names: Vec<String> = names.iter().map(ToString::to_string).collect();
        let mut params = CertificateParams::new(names).unwrap();
        params
            .distinguished_name
            .push(DnType::CommonName, common_name);
        let key = KeyPair::generate().unwrap();
        let certificate = params.signed_by(&key, &self.issuer).unwrap();
        std::fs::write(base.with_extension("crt"), certificate.pem()).unwrap();
        let key_file = base.with_extension("key");
        std::fs::write(&key_file, key.serialize_pem()).unwrap();
        std::fs::set_permissions(&key_file, std::fs::Permissions::from_mode(0o600)).unwrap();
    }
}
