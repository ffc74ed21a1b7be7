//! A conversation inside TLS, with rustls, which does no I/O either.

use std::io::{Read, Write};
use std::sync::Arc;

use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::crypto::{CryptoProvider, verify_tls12_signature, verify_tls13_signature};
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, ServerName, UnixTime};
use rustls::{ClientConfig, ClientConnection, DigitallySignedStruct, RootCertStore, SignatureScheme};

use super::probe::{Exchange, Failure, Progress, Verdict};

/// How a check speaks TLS.
#[derive(Clone, Debug, PartialEq, Eq, Default)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize), serde(default, deny_unknown_fields))]
pub struct Tls {
    /// The name that the server is asked for (SNI), and that its certificate is for. `None`: the address that is connected
    /// to, which is not sent.
    pub server_name: Option<String>,
    /// How the server's certificate is looked at. Default: not at all, as keepalived does.
    pub verify: Verify,
    /// Who we are, for a server that wants to know (keepalived's `certificate` and `key`). Default: nobody.
    pub identity: Option<Identity>,
}

/// A certificate of our own, and what proves that it is ours.
#[derive(Clone, PartialEq, Eq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize), serde(deny_unknown_fields))]
pub struct Identity {
    /// The certificate in PEM, followed by those that vouch for it, if the server does not know them.
    pub certificates: String,
    /// Its private key in PEM, not encrypted: there is no password.
    pub key: String,
}

/// Without the key.
impl std::fmt::Debug for Identity {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Identity").field("certificates", &self.certificates).finish_non_exhaustive()
    }
}

/// How a certificate is looked at.
#[derive(Clone, Debug, PartialEq, Eq, Default)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize), serde(rename_all = "snake_case"))]
pub enum Verify {
    /// Any certificate is right. The check finds out whether the server serves, not who it is.
    #[default]
    Nothing,
    /// It is for [`Tls::server_name`], valid now, and one of these authorities (certificates in PEM) vouches for it.
    Authorities(String),
}

/// TLS that cannot be spoken.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum TlsError {
    /// Not a name.
    #[error("server name {0:?} is neither a DNS name nor an address")]
    ServerName(String),
    /// There is no certificate to trust.
    #[error("the authorities are no certificates in PEM: {0}")]
    Authorities(String),
    /// We cannot prove who we are.
    #[error("the identity is no certificate and its private key in PEM, not encrypted: {0}")]
    Identity(String),
    /// rustls refuses the configuration.
    #[error("TLS: {0}")]
    Rustls(String),
}

/// TLS ready to be spoken.
#[derive(Clone, Debug)]
pub struct TlsClient {
    config: Arc<ClientConfig>,
    name: ServerName<'static>,
}

impl Tls {
    /// Checks the configuration; `address` is connected to.
    ///
    /// # Errors
    /// [`TlsError`] for what cannot be spoken.
    pub fn client(&self, address: std::net::IpAddr) -> Result<TlsClient, TlsError> {
        let name = match &self.server_name {
            Some(name) => ServerName::try_from(name.clone()).map_err(|_| TlsError::ServerName(name.clone()))?,
            None => ServerName::from(address),
        };
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let refused = |error: rustls::Error| TlsError::Rustls(error.to_string());
        let builder = ClientConfig::builder_with_provider(Arc::clone(&provider));
        let builder = builder.with_safe_default_protocol_versions().map_err(refused)?;
        let builder = match &self.verify {
            Verify::Nothing => builder.dangerous().with_custom_certificate_verifier(Arc::new(Anyone(provider))),
            Verify::Authorities(pem) => {
                let unreadable = |reason: String| TlsError::Authorities(reason);
                let mut roots = RootCertStore::empty();
                for certificate in CertificateDer::pem_slice_iter(pem.as_bytes()) {
                    let certificate = certificate.map_err(|error| unreadable(error.to_string()))?;
                    roots.add(certificate).map_err(|error| unreadable(error.to_string()))?;
                }
                if roots.is_empty() {
                    return Err(unreadable("there is none".into()));
                }
                builder.with_root_certificates(roots)
            }
        };
        let mut config = match &self.identity {
            None => builder.with_no_client_auth(),
            Some(Identity { certificates, key }) => {
                let unusable = |reason: String| TlsError::Identity(reason);
                let chain: Result<Vec<_>, _> = CertificateDer::pem_slice_iter(certificates.as_bytes()).collect();
                let chain = chain.map_err(|error| unusable(error.to_string()))?;
                let key = PrivateKeyDer::from_pem_slice(key.as_bytes()).map_err(|error| unusable(error.to_string()))?;
                builder.with_client_auth_cert(chain, key).map_err(|error| unusable(error.to_string()))?
            }
        };
        // Each attempt makes a whole handshake: what is to be found out is whether the server can.
        config.resumption = rustls::client::Resumption::disabled();
        Ok(TlsClient { config: Arc::new(config), name })
    }
}

/// Takes any certificate; the handshake must still be signed with its key.
#[derive(Debug)]
struct Anyone(Arc<CryptoProvider>);

impl ServerCertVerifier for Anyone {
    fn verify_server_cert(
        &self,
        _: &CertificateDer<'_>,
        _: &[CertificateDer<'_>],
        _: &ServerName<'_>,
        _: &[u8],
        _: UnixTime,
    ) -> Result<ServerCertVerified, rustls::Error> {
        Ok(ServerCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        verify_tls12_signature(message, certificate, signature, &self.0.signature_verification_algorithms)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        verify_tls13_signature(message, certificate, signature, &self.0.signature_verification_algorithms)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.0.signature_verification_algorithms.supported_schemes()
    }
}

/// A conversation inside TLS: `inner` sees what a connection without it would carry.
#[derive(Debug)]
pub struct TlsExchange<E> {
    client: TlsClient,
    connection: Option<Box<ClientConnection>>,
    inner: E,
    plain: Vec<u8>,
}

impl<E: Exchange> TlsExchange<E> {
    /// For one attempt.
    pub fn new(client: TlsClient, inner: E) -> Self {
        Self { client, connection: None, inner, plain: Vec::new() }
    }

    /// Takes encrypted octets, piece by piece, so that no more is decrypted than one piece holds.
    fn decrypt(&mut self, mut input: &[u8], output: &mut Vec<u8>) -> Result<Progress, Failure> {
        let Some(connection) = &mut self.connection else { return Ok(Progress::Pending) };
        while !input.is_empty() {
            if connection.read_tls(&mut input).map_err(tls_failure)? == 0 {
                break;
            }
            let state = match connection.process_new_packets() {
                Ok(state) => state,
                Err(error) => {
                    // The alert that tells the server why.
                    let _ = connection.write_tls(output);
                    return Err(tls_failure(error));
                }
            };
            let mut part = [0; 4096];
            let mut left = state.plaintext_bytes_to_read();
            while left > 0 {
                let length = connection.reader().read(&mut part).map_err(tls_failure)?;
                let Some(read) = part.get(..length).filter(|read| !read.is_empty()) else { break };
                left = left.saturating_sub(length);
                match self.inner.received(read, &mut self.plain) {
                    Progress::Pending => {}
                    over => return Ok(over),
                }
            }
            if state.peer_has_closed() {
                return Ok(self.inner.ended());
            }
        }
        Ok(Progress::Pending)
    }

    /// Encrypts what `inner` has to say, and adds what the handshake has.
    fn encrypt(&mut self, output: &mut Vec<u8>) -> Result<(), Failure> {
        let Some(connection) = &mut self.connection else { return Ok(()) };
        connection.writer().write_all(&self.plain).map_err(tls_failure)?;
        self.plain.clear();
        while connection.wants_write() {
            connection.write_tls(output).map_err(tls_failure)?;
        }
        Ok(())
    }
}

fn tls_failure(error: impl std::fmt::Display) -> Failure {
    Failure::Tls(error.to_string())
}

impl<E: Exchange> Exchange for TlsExchange<E> {
    fn opened(&mut self, output: &mut Vec<u8>) -> Progress {
        match ClientConnection::new(Arc::clone(&self.client.config), self.client.name.clone()) {
            Ok(connection) => self.connection = Some(Box::new(connection)),
            Err(error) => return Progress::failed(tls_failure(error)),
        }
        self.plain.clear();
        match self.inner.opened(&mut self.plain) {
            Progress::Pending => match self.encrypt(output) {
                Ok(()) => Progress::Pending,
                Err(failure) => Progress::failed(failure),
            },
            over => over,
        }
    }

    fn received(&mut self, input: &[u8], output: &mut Vec<u8>) -> Progress {
        let progress = self.decrypt(input, output);
        match progress {
            Ok(Progress::Pending) => match self.encrypt(output) {
                Ok(()) => Progress::Pending,
                Err(failure) => Progress::failed(failure),
            },
            Ok(over) => over,
            Err(failure) => Progress::failed(failure),
        }
    }

    /// A server that ends the connection without saying so inside TLS is common, and taken as if it had.
    fn ended(&mut self) -> Progress {
        match &self.connection {
            Some(connection) if !connection.is_handshaking() => self.inner.ended(),
            Some(_) | None => Progress::failed(Failure::Ended),
        }
    }

    fn expired(&mut self, connected: bool) -> Verdict {
        self.inner.expired(connected)
    }
}
