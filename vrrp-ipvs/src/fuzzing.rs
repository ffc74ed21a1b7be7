//! For the fuzz targets alone (`cfg(fuzzing)`): what the kernel answers, from any octets.

use crate::client::Info;
use crate::genl::{self, Attributes, Builder, decode, encode};
use crate::model::{Family, ServiceId, Table, VirtualServer};

/// Reads a datagram as an answer to request number 1, and each message of it as everything that it could be. What can be in a
/// [`Table`] is written again and read as it was.
///
/// # Panics
/// If it is not.
pub fn kernel_answer(datagram: &[u8]) {
    let mut answers = Vec::new();
    let end = genl::decode_datagram(datagram, 1, &mut answers);
    let _ = format!("{end:?}");
    for answer in answers {
        let attributes = &answer.attributes;
        assert!(Attributes::new(attributes).count() <= attributes.len() / 4 + 1, "an attribute has four octets");
        let _ = (decode::daemon(attributes), decode::timeouts(attributes), Info::parse(attributes));
        if let Ok(status) = decode::service(attributes) {
            let _ = format!("{status:?} {}", status.service.id);
            service_again(&status.service);
        }
        for family in [Family::V4, Family::V6] {
            if let Ok(status) = decode::destination(attributes, family) {
                let _ = format!("{status:?} {}", status.destination.id);
                destination_again(&status.destination, family);
            }
        }
    }
}

fn service_again(service: &crate::Service) {
    if Table::new([VirtualServer { service: service.clone(), destinations: Vec::new() }]).is_err() {
        return;
    }
    let mut message = Builder::default();
    encode::push_service(&mut message, service).expect("what was read can be written");
    let again = decode::service(&message.into_bytes()).expect("what was written can be read");
    assert_eq!(again.service.canonical(), service.canonical());
}

fn destination_again(destination: &crate::Destination, family: Family) {
    let any = match family {
        Family::V4 => std::net::IpAddr::from([192, 0, 2, 1]),
        Family::V6 => std::net::IpAddr::from([0x2001, 0xdb8, 0, 0, 0, 0, 0, 1]),
    };
    // A destination of port 0 is one of a service of port 0, or of a mark; here only its own form matters.
    if destination.validate(ServiceId::tcp(any, destination.id.port)).is_err() {
        return;
    }
    let mut message = Builder::default();
    encode::push_destination(&mut message, destination).expect("what was read can be written");
    let again = decode::destination(&message.into_bytes(), family).expect("what was written can be read");
    assert_eq!(again.destination.canonical(), destination.canonical());
}
