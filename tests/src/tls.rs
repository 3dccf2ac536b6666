//! TLS before a double that speaks plain HTTP, under a certificate of its own.

use std::net::SocketAddr;
use std::sync::Arc;

use tempfile::NamedTempFile;
use tokio::net::{TcpListener, TcpStream};
use tokio_rustls::TlsAcceptor;
use tokio_rustls::rustls::ServerConfig;
use tokio_rustls::rustls::crypto::ring::default_provider;
use tokio_rustls::rustls::pki_types::{CertificateDer, PrivateKeyDer, PrivatePkcs8KeyDer};

/// Fronts that one certificate is for.
pub struct Tls {
    acceptor: TlsAcceptor,
    /// The certificate, as `SSL_CERT_FILE` names it to whoever is to trust it.
    pub trusted: NamedTempFile,
}

impl Default for Tls {
    fn default() -> Self {
        Self::new()
    }
}

impl Tls {
    /// A new certificate for the loopback address.
    pub fn new() -> Self {
        let own = rcgen::generate_simple_self_signed(vec!["127.0.0.1".to_owned()]).unwrap();
        let key = PrivateKeyDer::from(PrivatePkcs8KeyDer::from(own.signing_key.serialize_der()));
        let chain: Vec<CertificateDer<'static>> = vec![own.cert.der().clone()];
        let config = ServerConfig::builder_with_provider(Arc::new(default_provider()))
            .with_safe_default_protocol_versions()
            .unwrap()
            .with_no_client_auth()
            .with_single_cert(chain, key)
            .unwrap();
        let trusted = NamedTempFile::new().unwrap();
        std::fs::write(trusted.path(), own.cert.pem()).unwrap();
        Self { acceptor: TlsAcceptor::from(Arc::new(config)), trusted }
    }

    /// Takes connections for a double and passes on what they say. Its scheme and host.
    pub fn before(&self, double: SocketAddr) -> String {
        let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        listener.set_nonblocking(true).unwrap();
        let address = listener.local_addr().unwrap();
        let acceptor = self.acceptor.clone();
        std::thread::spawn(move || {
            let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
            runtime.block_on(async move {
                let listener = TcpListener::from_std(listener).unwrap();
                while let Ok((socket, _)) = listener.accept().await {
                    tokio::spawn(pass(acceptor.clone(), socket, double));
                }
            });
        });
        format!("https://{address}")
    }
}

/// A connection ends when either side ends it.
async fn pass(acceptor: TlsAcceptor, socket: TcpStream, double: SocketAddr) {
    let (Ok(mut outside), Ok(mut inside)) = (acceptor.accept(socket).await, TcpStream::connect(double).await)
    else {
        return;
    };
    let _ = tokio::io::copy_bidirectional(&mut outside, &mut inside).await;
}
