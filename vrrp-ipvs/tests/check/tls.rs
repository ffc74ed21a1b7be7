//! HTTPS: conversations inside TLS, with a real TLS server in memory and on loopback.

use std::io::{Read, Write};
use std::net::IpAddr;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use rcgen::{BasicConstraints, CertificateParams, CertifiedIssuer, IsCa, KeyPair};
use rustls::pki_types::{PrivateKeyDer, PrivatePkcs8KeyDer};
use rustls::server::WebPkiClientVerifier;
use rustls::{RootCertStore, ServerConfig, ServerConnection};
use vrrp_ipvs::check::http::{Http, HttpExchange, Url};
use vrrp_ipvs::check::tls::{Identity, Tls, TlsError, TlsExchange, Verify};
use vrrp_ipvs::check::{Check, CheckEvent, Driver, Exchange, Failure, Probe, Progress, Schedule};

use crate::servers::{read_request, run, serve};

type Issuer = CertifiedIssuer<'static, KeyPair>;

fn authority() -> Issuer {
    let mut params = CertificateParams::new(Vec::new()).unwrap();
    params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    CertifiedIssuer::self_signed(params, KeyPair::generate().unwrap()).unwrap()
}

/// A server whose certificate is for `www.example` and 127.0.0.1, vouched for by `authority`.
fn server(authority: &Issuer) -> Arc<ServerConfig> {
    server_for(authority, None)
}

/// The same; with clients' authorities it asks who they are.
fn server_for(authority: &Issuer, clients: Option<&Issuer>) -> Arc<ServerConfig> {
    let key = KeyPair::generate().unwrap();
    let params = CertificateParams::new(vec!["www.example".into(), "127.0.0.1".into()]).unwrap();
    let certificate = params.signed_by(&key, authority).unwrap();
    let key = PrivateKeyDer::Pkcs8(PrivatePkcs8KeyDer::from(key.serialize_der()));
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let builder =
        ServerConfig::builder_with_provider(Arc::clone(&provider)).with_safe_default_protocol_versions().unwrap();
    let builder = match clients {
        None => builder.with_no_client_auth(),
        Some(clients) => {
            let mut roots = RootCertStore::empty();
            roots.add(clients.der().clone()).unwrap();
            let verifier = WebPkiClientVerifier::builder_with_provider(Arc::new(roots), provider).build().unwrap();
            builder.with_client_cert_verifier(verifier)
        }
    };
    Arc::new(builder.with_single_cert(vec![certificate.der().clone()], key).unwrap())
}

fn http() -> Http {
    Http { urls: vec![Url::default()], ..Http::default() }
}

fn exchange(tls: &Tls) -> TlsExchange<HttpExchange> {
    let address: IpAddr = "127.0.0.1".parse().unwrap();
    TlsExchange::new(tls.client(address).unwrap(), HttpExchange::new(http().requests("127.0.0.1").unwrap()))
}

/// What the server saw: the name asked for, and the request.
#[derive(Debug, Default, PartialEq, Eq)]
struct Seen {
    name: Option<String>,
    request: String,
}

/// A check against a server in memory that answers so; its octets arrive in pieces of this size.
fn converse(tls: &Tls, config: &Arc<ServerConfig>, answer: &str, piece: usize) -> (Progress, Seen) {
    let mut server = ServerConnection::new(Arc::clone(config)).unwrap();
    let mut client = exchange(tls);
    let (mut to_server, mut to_client) = (Vec::new(), Vec::new());
    let mut request = Vec::new();
    let mut answered = false;
    let mut progress = client.opened(&mut to_server);
    while progress == Progress::Pending {
        let mut input = &to_server[..];
        while !input.is_empty() {
            server.read_tls(&mut input).unwrap();
            // A client that leaves with an alert is an error here.
            let _ = server.process_new_packets();
        }
        to_server.clear();
        let mut part = [0; 1000];
        while let Ok(length @ 1..) = server.reader().read(&mut part) {
            request.extend_from_slice(&part[..length]);
        }
        if request.ends_with(b"\r\n\r\n") && !answered {
            server.writer().write_all(answer.as_bytes()).unwrap();
            server.send_close_notify();
            answered = true;
        }
        while server.wants_write() {
            server.write_tls(&mut to_client).unwrap();
        }
        if to_client.is_empty() {
            progress = client.ended();
            break;
        }
        for piece in std::mem::take(&mut to_client).chunks(piece) {
            progress = client.received(piece, &mut to_server);
            if progress != Progress::Pending {
                break;
            }
        }
    }
    let name = server.server_name().map(str::to_owned);
    (progress, Seen { name, request: String::from_utf8(request).unwrap() })
}

const OK: &str = "HTTP/1.1 200 OK\r\n\r\nhello";

#[test]
fn any_certificate_is_right_without_verification() {
    let config = server(&authority());
    for piece in [1, 7, 100_000] {
        let (progress, seen) = converse(&Tls::default(), &config, OK, piece);
        assert_eq!(progress, Progress::PASSED, "in pieces of {piece}");
        assert!(seen.request.starts_with("GET / HTTP/1.1\r\n"));
    }
    let refused = "HTTP/1.1 503 No\r\n\r\n";
    assert_eq!(converse(&Tls::default(), &config, refused, 50).0, Progress::failed(Failure::Status(503)));
}

#[test]
fn a_name_is_sent_if_one_is_given_and_an_address_never() {
    let config = server(&authority());
    assert_eq!(converse(&Tls::default(), &config, OK, 1000).1.name, None);
    let named = Tls { server_name: Some("www.example".into()), ..Tls::default() };
    assert_eq!(converse(&named, &config, OK, 1000).1.name.as_deref(), Some("www.example"));
}

#[test]
fn with_verification_the_certificate_must_be_vouched_for_and_name_the_server() {
    let ours = authority();
    let config = server(&ours);
    let verify = |name: Option<&str>, authority: &Issuer| Tls {
        server_name: name.map(str::to_owned),
        verify: Verify::Authorities(authority.pem()),
        identity: None,
    };
    let come_to = |tls: Tls| converse(&tls, &config, OK, 1000).0;
    assert_eq!(come_to(verify(Some("www.example"), &ours)), Progress::PASSED);
    assert_eq!(come_to(verify(None, &ours)), Progress::PASSED, "it names the address too");
    for (tls, why) in [
        (verify(Some("other.example"), &ours), "not valid for name"),
        (verify(Some("www.example"), &authority()), "invalid peer certificate"),
    ] {
        let progress = come_to(tls);
        let Progress::Done(Err(Failure::Tls(reason))) = &progress else { panic!("{progress:?}") };
        assert!(reason.contains(why), "{reason}");
    }
}

/// A certificate of our own that `authority` vouches for.
fn identity(authority: &Issuer) -> Identity {
    let key = KeyPair::generate().unwrap();
    let certificate =
        CertificateParams::new(vec!["checker.example".into()]).unwrap().signed_by(&key, authority).unwrap();
    Identity { certificates: certificate.pem(), key: key.serialize_pem() }
}

#[test]
fn a_server_that_wants_to_know_who_asks_is_told() {
    let ours = authority();
    let config = server_for(&ours, Some(&ours));
    let as_somebody = |identity| converse(&Tls { identity, ..Tls::default() }, &config, OK, 1000).0;
    assert_eq!(as_somebody(Some(identity(&ours))), Progress::PASSED);
    assert_ne!(as_somebody(Some(identity(&authority()))), Progress::PASSED, "somebody else vouches for us");
    assert_ne!(as_somebody(None), Progress::PASSED);
    assert!(!format!("{:?}", identity(&ours)).contains("PRIVATE"), "a key is not for logs");
}

#[test]
fn a_server_that_does_not_speak_tls_fails() {
    for garbage in [&b"HTTP/1.1 400 Bad Request\r\n\r\n"[..], b"220 mail\r\n", &[0; 600], &[0x16; 600], &[0xff; 600]] {
        let mut exchange = exchange(&Tls::default());
        let mut output = Vec::new();
        assert_eq!(exchange.opened(&mut output), Progress::Pending);
        let progress = exchange.received(garbage, &mut output);
        assert!(matches!(progress, Progress::Done(Err(Failure::Tls(_)))), "{garbage:?}: {progress:?}");
    }
    let mut silent = exchange(&Tls::default());
    assert_eq!(silent.ended(), Progress::failed(Failure::Ended), "before anything");
    silent.opened(&mut Vec::new());
    assert_eq!(silent.ended(), Progress::failed(Failure::Ended), "in the handshake");
}

#[test]
fn an_endless_handshake_fails_at_a_limit() {
    // Records of a handshake message that says it has 16 MiB.
    let mut record = vec![0x16, 3, 3, 0x10, 0];
    let mut first = record.clone();
    first.extend([2, 0xff, 0xff, 0xff]);
    first.extend(vec![0; 0x1000 - 4]);
    record.extend(vec![0; 0x1000]);
    let mut exchange = exchange(&Tls::default());
    let mut output = Vec::new();
    exchange.opened(&mut output);
    let mut progress = exchange.received(&first, &mut output);
    let mut given = 0;
    while progress == Progress::Pending {
        progress = exchange.received(&record, &mut output);
        given += record.len();
        assert!(given < 1 << 20, "no end after {given} octets");
    }
    assert!(matches!(progress, Progress::Done(Err(Failure::Tls(_)))), "{progress:?}");
}

#[test]
fn what_cannot_be_spoken_is_refused_with_the_reason() {
    let address: IpAddr = "127.0.0.1".parse().unwrap();
    let refused = |tls: Tls| tls.client(address).unwrap_err();
    let name = Tls { server_name: Some("no name".into()), ..Tls::default() };
    assert_eq!(refused(name).to_string(), "server name \"no name\" is neither a DNS name nor an address");
    for pem in ["", "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n", "-----BEGIN CERTIFICATE-----\n"] {
        let tls = Tls { verify: Verify::Authorities(pem.into()), ..Tls::default() };
        assert!(matches!(refused(tls), TlsError::Authorities(_)), "{pem}");
    }
    let ours = authority();
    let Identity { certificates, key } = identity(&ours);
    let other = identity(&ours).key;
    let encrypted = key.replace("PRIVATE KEY", "ENCRYPTED PRIVATE KEY");
    let nothing = String::new();
    for (certificates, key) in
        [(&nothing, &key), (&certificates, &nothing), (&certificates, &other), (&certificates, &encrypted)]
    {
        let identity = Some(Identity { certificates: certificates.clone(), key: key.clone() });
        let error = refused(Tls { identity, ..Tls::default() });
        assert!(matches!(error, TlsError::Identity(_)), "{error}");
    }
}

#[test]
fn the_driver_speaks_tls_over_real_sockets() {
    let authority = authority();
    let config = server(&authority);
    let seen = Arc::new(Mutex::new(Vec::new()));
    let saw = Arc::clone(&seen);
    let address = serve(move |stream| {
        let mut connection = ServerConnection::new(Arc::clone(&config)).unwrap();
        let mut stream = stream;
        let mut tls = rustls::Stream::new(&mut connection, &mut stream);
        saw.lock().unwrap().push(read_request(&mut tls));
        let _ = tls.write_all(OK.as_bytes());
        connection.send_close_notify();
        let _ = connection.write_tls(&mut stream);
    });
    let verify = Verify::Authorities(authority.pem());
    let tls = Tls { server_name: Some("www.example".into()), verify, identity: None };
    let schedule = Schedule { warmup: Some(Duration::ZERO), alpha: true, ..Schedule::default() };
    let mut driver = Driver::new().unwrap();
    let probe = Probe::Https { http: http(), tls };
    driver.add(Check { schedule, ..Check::new(address, probe) }).unwrap();
    let events = run(&mut driver, 1);
    assert!(matches!(events[..], [CheckEvent::Up { .. }]), "{events:?}");
    assert!(seen.lock().unwrap()[0].starts_with(&format!("GET / HTTP/1.1\r\nHost: {address}\r\n")));

    let plain = serve(|mut stream| {
        let _ = stream.write_all(OK.as_bytes());
        let _ = stream.read(&mut [0; 1000]);
    });
    let mut driver = Driver::new().unwrap();
    let schedule = Schedule { alpha: false, ..schedule };
    let probe = Probe::Https { http: http(), tls: Tls::default() };
    driver.add(Check { schedule, ..Check::new(plain, probe) }).unwrap();
    let events = run(&mut driver, 1);
    assert!(matches!(&events[..], [CheckEvent::Down { reason: Failure::Tls(_), .. }]), "{events:?}");
}
