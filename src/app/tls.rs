//! TLS of the data plane. The certificate is taken anew when its files change; a bad pair keeps the old one and says so.

use std::{
    io,
    path::{Path, PathBuf},
    sync::{
        Arc,
        atomic::{AtomicI64, Ordering},
    },
    time::{Duration, SystemTime},
};

use arc_swap::ArcSwap;
use rustls::{
    ServerConfig,
    crypto::ring::{self, sign::any_supported_type},
    pki_types::{
        CertificateDer, PrivateKeyDer,
        pem::{self, PemObject},
    },
    server::{ClientHello, ResolvesServerCert},
    sign::CertifiedKey,
};
use tokio::{
    io::{AsyncBufReadExt, BufReader},
    net::TcpStream,
    signal::unix::{SignalKind, signal},
};
use tokio_rustls::{TlsAcceptor, server::TlsStream};
use tokio_util::sync::CancellationToken;
use x509_cert::der::Decode;

use super::listener::{Socket, Speech};
use crate::config::TlsFiles;

/// Files are looked at this often without a signal.
const LOOK_EVERY: Duration = Duration::from_secs(5);

/// Why a certificate cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum TlsError {
    /// A file that holds no PEM of the kind wanted, or cannot be read.
    #[error("{option}: {} cannot be used: {source}", .path.display())]
    Pem {
        /// `tls_cert` or `tls_key`.
        option: &'static str,
        /// The file.
        path: PathBuf,
        /// Why.
        source: pem::Error,
    },
    /// A chain without a certificate.
    #[error("tls_cert: {} holds no certificate", .0.display())]
    Empty(PathBuf),
    /// The pair: a key of a kind that nobody knows, or of another certificate.
    #[error("tls_cert and tls_key are no pair that can be used: {0}")]
    Pair(#[from] rustls::Error),
}

/// The certificate in force.
#[derive(Debug)]
pub(in crate::app) struct Certificate {
    files: TlsFiles,
    /// What they looked like before they were read.
    seen: [Look; 2],
    current: ArcSwap<CertifiedKey>,
    ends: Arc<AtomicI64>,
}

/// Size and time of change of a file; none: it cannot be looked at.
type Look = Option<(u64, SystemTime)>;

impl Certificate {
    /// Reads both files.
    ///
    /// # Errors
    /// [`TlsError`]: unreadable, no PEM, or no pair.
    pub(super) fn read(files: &TlsFiles) -> Result<Self, TlsError> {
        let seen = looks(files);
        let pair = read_pair(files)?;
        let ends = Arc::new(AtomicI64::new(ends_at_s(&pair.cert)));
        Ok(Self { files: files.clone(), seen, current: ArcSwap::from_pointee(pair), ends })
    }

    /// When the chain in force ends, seconds since 1970 UTC, kept current; 0: it does not say so in a way that is understood.
    pub(super) fn ends(&self) -> Arc<AtomicI64> {
        Arc::clone(&self.ends)
    }

    /// Takes files that have changed, looked at now and then and on SIGHUP, until told to stop.
    pub(super) async fn keep_current(self: Arc<Self>, stop: CancellationToken) {
        // A process that cannot have signals is told by its files alone.
        let mut hangup = signal(SignalKind::hangup()).ok();
        let mut seen = self.seen;
        loop {
            let told = async {
                match &mut hangup {
                    Some(hangup) => hangup.recv().await,
                    None => std::future::pending().await,
                }
            };
            // Told, they are read whatever they look like: what was wrong may have been who may read them.
            let is_told = tokio::select! {
                () = stop.cancelled() => return,
                _ = told => true,
                () = tokio::time::sleep(LOOK_EVERY) => false,
            };
            let now = looks(&self.files);
            if now == seen && !is_told {
                continue;
            }
            seen = now;
            match read_pair(&self.files) {
                Ok(pair) => {
                    self.ends.store(ends_at_s(&pair.cert), Ordering::Relaxed);
                    self.current.store(Arc::new(pair));
                    tracing::info!("the certificate was read anew");
                }
                // A pair is replaced file by file: between the two it is none. The second one changes what is seen.
                Err(error) => tracing::error!(%error, "the certificate is not taken; the one before stays"),
            }
        }
    }
}

impl ResolvesServerCert for Certificate {
    fn resolve(&self, _hello: ClientHello<'_>) -> Option<Arc<CertifiedKey>> {
        Some(self.current.load_full())
    }
}

fn looks(files: &TlsFiles) -> [Look; 2] {
    [&files.cert, &files.key].map(|path| {
        let data = std::fs::metadata(path).ok()?;
        Some((data.len(), data.modified().ok()?))
    })
}

fn read_pair(files: &TlsFiles) -> Result<CertifiedKey, TlsError> {
    let failed = |option, path: &Path| {
        let path = path.to_owned();
        move |source| TlsError::Pem { option, path, source }
    };
    let chain = CertificateDer::pem_file_iter(&files.cert)
        .and_then(Iterator::collect::<Result<Vec<_>, _>>)
        .map_err(failed("tls_cert", &files.cert))?;
    if chain.is_empty() {
        return Err(TlsError::Empty(files.cert.clone()));
    }
    let key = PrivateKeyDer::from_pem_file(&files.key).map_err(failed("tls_key", &files.key))?;
    let pair = CertifiedKey::new(chain, any_supported_type(&key)?);
    pair.keys_match()?;
    Ok(pair)
}

/// The earliest end in a chain: then it is good for nothing. Seconds since 1970 UTC, 0 when none of it can be told.
fn ends_at_s(chain: &[CertificateDer<'_>]) -> i64 {
    let end = |der: &CertificateDer<'_>| {
        let certificate = x509_cert::Certificate::from_der(der).ok()?;
        i64::try_from(certificate.tbs_certificate().validity().not_after.to_unix_duration().as_secs()).ok()
    };
    chain.iter().filter_map(end).min().unwrap_or(0)
}

/// Shakes hands with this certificate.
///
/// # Errors
/// Never with the cryptography that is compiled in.
pub(super) fn acceptor(certificate: Arc<Certificate>) -> Result<TlsAcceptor, TlsError> {
    let mut config = ServerConfig::builder_with_provider(Arc::new(ring::default_provider()))
        .with_safe_default_protocol_versions()?
        .with_no_client_auth()
        .with_cert_resolver(certificate);
    config.alpn_protocols = vec![b"h2".to_vec(), b"http/1.1".to_vec()];
    Ok(TlsAcceptor::from(Arc::new(config)))
}

/// A connection before its handshake, which runs in the connection's own task: a slow one holds up nobody.
pub(super) struct Handshake {
    tcp: TcpStream,
    acceptor: TlsAcceptor,
}

impl Handshake {
    /// Of this connection.
    pub(super) const fn new(tcp: TcpStream, acceptor: TlsAcceptor) -> Self {
        Self { tcp, acceptor }
    }
}

impl Socket for Handshake {
    type Stream = BufReader<TlsStream<TcpStream>>;

    async fn open(self) -> io::Result<(Self::Stream, Speech)> {
        let mut stream = BufReader::new(self.acceptor.accept(self.tcp).await?);
        // One that shakes hands and then says nothing would be waited for without end.
        let first = stream.fill_buf().await?;
        if first.is_empty() {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
        let speech = Speech::of(first);
        Ok((stream, speech))
    }
}
