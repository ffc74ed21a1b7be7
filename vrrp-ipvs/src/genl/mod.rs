//! Generic netlink: a message to a kernel family that is found by its name, and what the kernel answers.
//!
//! Only the outer two headers are left to the netlink-packet crates. Attributes are read by [`attr`]: the controller's
//! parser in netlink-packet-generic fails on an attribute it does not know, and later kernels send new ones.

mod attr;
pub(crate) mod decode;
pub(crate) mod encode;
pub(crate) mod header;

use std::io;

use netlink_packet_core::{
    DecodeError, Emitable, NLM_F_ACK, NLM_F_DUMP, NLM_F_REQUEST, NetlinkDeserializable, NetlinkHeader, NetlinkMessage,
    NetlinkPayload, NetlinkSerializable,
};
use netlink_packet_generic::GenlHeader;
use netlink_packet_generic::constants::{
    CTRL_ATTR_FAMILY_ID, CTRL_ATTR_FAMILY_NAME, CTRL_CMD_GETFAMILY, GENL_HDRLEN, GENL_ID_CTRL,
};
use netlink_sys::protocols::NETLINK_GENERIC;
use netlink_sys::{Socket, SocketAddr};

pub(crate) use attr::{AttrError, Attribute, Attributes, Builder};

/// A socket for exchanges with the kernel, one at a time.
///
/// The kernel carries out a request and queues the answer before the call that sends it returns, so the socket does not
/// block: an answer that is not there was lost, and waiting for it would be for ever.
#[derive(Debug)]
pub(crate) struct Connection {
    // Never cloned: a clone has the same descriptor, and whichever goes first closes it for both.
    socket: Socket,
    sequence: u32,
    buffer: Vec<u8>,
}

impl Connection {
    pub(crate) fn open() -> io::Result<Self> {
        let socket = Socket::new(NETLINK_GENERIC)?;
        socket.set_non_blocking(true)?;
        // A connected socket takes messages from the kernel only, not from other processes.
        socket.connect(&SocketAddr::new(0, 0))?;
        Ok(Self { socket, sequence: 0, buffer: Vec::with_capacity(BUFFER_LEN) })
    }

    /// The number that the family of this name has until its module is unloaded.
    ///
    /// # Errors
    /// [`io::ErrorKind::NotFound`] if the kernel has no such family.
    pub(crate) fn family(&mut self, name: &str) -> Result<u16, Error> {
        let mut attributes = Builder::default();
        attributes.push_str(CTRL_ATTR_FAMILY_NAME, name)?;
        let request = Message {
            family: GENL_ID_CTRL,
            command: CTRL_CMD_GETFAMILY,
            version: CONTROLLER_VERSION,
            attributes: attributes.into_bytes(),
        };
        let answers = self.exchange(Exchange::Call, &request)?;
        for attribute in answers.iter().flat_map(|answer| Attributes::new(&answer.attributes)) {
            let attribute = attribute?;
            if attribute.kind == CTRL_ATTR_FAMILY_ID {
                return Ok(attribute.u16()?);
            }
        }
        Err(AttrError::Missing { kind: CTRL_ATTR_FAMILY_ID }.into())
    }

    /// Sends a request and gives the messages that the kernel answers it with, often none.
    ///
    /// # Errors
    /// What the kernel refused it with, or that the exchange failed.
    pub(crate) fn exchange(&mut self, exchange: Exchange, request: &Message) -> Result<Vec<Message>, Error> {
        self.sequence = self.sequence.wrapping_add(1);
        let flags = match exchange {
            Exchange::Call => NLM_F_REQUEST | NLM_F_ACK,
            Exchange::Dump => NLM_F_REQUEST | NLM_F_DUMP,
        };
        let request = encode_request(request.clone(), flags, self.sequence);
        self.socket.send(&request, 0)?;
        let mut answers = Vec::new();
        loop {
            self.buffer.clear();
            let length = self.socket.recv(&mut self.buffer, MSG_TRUNC)?;
            if length > self.buffer.len() {
                return Err(Error::Malformed(format!("{length} octets at once, room for {}", self.buffer.len())));
            }
            if decode_datagram(&self.buffer, self.sequence, &mut answers)? {
                return Ok(answers);
            }
        }
    }
}

/// How the kernel answers a request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Exchange {
    /// With an acknowledgement, and what was asked for before it.
    Call,
    /// With every entry of a table.
    Dump,
}

/// A generic netlink message: what its two headers name, and its attributes as they are on the wire.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Message {
    /// Number of the family.
    pub(crate) family: u16,
    /// The family's command.
    pub(crate) command: u8,
    /// Version of the family's commands.
    pub(crate) version: u8,
    /// For [`Attributes`].
    pub(crate) attributes: Vec<u8>,
}

impl NetlinkSerializable for Message {
    fn message_type(&self) -> u16 {
        self.family
    }

    fn buffer_len(&self) -> usize {
        GENL_HDRLEN + self.attributes.len()
    }

    fn serialize(&self, buffer: &mut [u8]) {
        let (header, attributes) = buffer.split_at_mut(GENL_HDRLEN);
        GenlHeader { cmd: self.command, version: self.version }.emit(header);
        attributes.copy_from_slice(&self.attributes);
    }
}

impl NetlinkDeserializable for Message {
    type Error = DecodeError;

    fn deserialize(header: &NetlinkHeader, payload: &[u8]) -> Result<Self, DecodeError> {
        let GenlHeader { cmd: command, version } = GenlHeader::parse(payload)?;
        let attributes = payload.get(GENL_HDRLEN..).unwrap_or_default().to_vec();
        Ok(Self { family: header.message_type, command, version, attributes })
    }
}

impl From<Message> for NetlinkPayload<Message> {
    fn from(message: Message) -> Self {
        Self::InnerMessage(message)
    }
}

/// An exchange that failed.
#[derive(Debug)]
pub(crate) enum Error {
    /// The kernel's refusal, or that of a system call.
    Io(io::Error),
    /// What is wrong with the answer.
    Malformed(String),
}

impl From<io::Error> for Error {
    fn from(error: io::Error) -> Self {
        Self::Io(error)
    }
}

impl From<AttrError> for Error {
    fn from(error: AttrError) -> Self {
        Self::Malformed(error.to_string())
    }
}

/// Version of the controller's own commands (`linux/genetlink.h`).
const CONTROLLER_VERSION: u8 = 2;

/// The most that the kernel puts into one datagram of a dump; other answers are a page or two.
const BUFFER_LEN: usize = 32 * 1024;

/// For `recv`: give the datagram's whole length, also where it does not fit (`linux/socket.h`).
const MSG_TRUNC: i32 = 0x20;

fn encode_request(request: Message, flags: u16, sequence: u32) -> Vec<u8> {
    let mut message = NetlinkMessage::from(request);
    message.header.flags = flags;
    message.header.sequence_number = sequence;
    message.finalize();
    let mut bytes = vec![0; message.buffer_len()];
    message.serialize(&mut bytes);
    bytes
}

/// Appends the messages of a datagram that answer request number `sequence`; whether the last of them is among them.
pub(crate) fn decode_datagram(datagram: &[u8], sequence: u32, answers: &mut Vec<Message>) -> Result<bool, Error> {
    let mut rest = datagram;
    while !rest.is_empty() {
        let message =
            NetlinkMessage::<Message>::deserialize(rest).map_err(|error| Error::Malformed(error.to_string()))?;
        let length = usize::try_from(message.header.length).unwrap_or(usize::MAX);
        rest = rest.get(length.next_multiple_of(4)..).unwrap_or_default();
        if message.header.sequence_number != sequence {
            // Left over from an exchange that failed half way.
            continue;
        }
        let code = match message.payload {
            NetlinkPayload::InnerMessage(answer) => {
                answers.push(answer);
                continue;
            }
            NetlinkPayload::Error(acknowledgement) => acknowledgement.raw_code(),
            NetlinkPayload::Done(done) => done.code,
            _ => continue,
        };
        // The kernel negates error numbers; 0 is success.
        return if code == 0 { Ok(true) } else { Err(io::Error::from_raw_os_error(code.saturating_neg()).into()) };
    }
    Ok(false)
}

#[cfg(test)]
mod tests {
    use super::*;
    use netlink_packet_core::{DoneMessage, ErrorMessage};
    use std::num::NonZeroI32;

    const ENOENT: i32 = 2;

    fn message(payload: NetlinkPayload<Message>, sequence: u32) -> Vec<u8> {
        let mut message = NetlinkMessage::new(NetlinkHeader::default(), payload);
        message.header.sequence_number = sequence;
        message.finalize();
        let mut bytes = vec![0; message.buffer_len()];
        message.serialize(&mut bytes);
        bytes
    }

    fn acknowledgement(errno: i32) -> NetlinkPayload<Message> {
        let mut acknowledgement = ErrorMessage::default();
        acknowledgement.code = NonZeroI32::new(-errno);
        // The header of the request, which the kernel sends back.
        acknowledgement.header = vec![0; 16];
        NetlinkPayload::Error(acknowledgement)
    }

    fn answer(command: u8) -> Message {
        let mut attributes = Builder::default();
        attributes.push(1, &[1, 2, 3, 4, 5]).unwrap();
        Message { family: 30, command, version: 1, attributes: attributes.into_bytes() }
    }

    #[test]
    fn a_request_carries_family_command_version_flags_and_number() {
        let bytes = encode_request(answer(15), NLM_F_REQUEST | NLM_F_ACK, 7);
        let read = NetlinkMessage::<Message>::deserialize(&bytes).unwrap();
        assert_eq!(usize::try_from(read.header.length).unwrap(), bytes.len());
        assert_eq!((read.header.message_type, read.header.flags, read.header.sequence_number), (30, 5, 7));
        assert_eq!(read.payload, NetlinkPayload::InnerMessage(answer(15)));
    }

    #[test]
    fn an_answer_ends_with_its_acknowledgement() {
        let datagrams = [message(answer(14).into(), 7), message(acknowledgement(0), 7)];
        let mut answers = Vec::new();
        assert!(!decode_datagram(&datagrams[0], 7, &mut answers).unwrap());
        assert!(decode_datagram(&datagrams[1], 7, &mut answers).unwrap());
        assert_eq!(answers, [answer(14)]);
        // Both in one datagram are the same.
        let mut answers = Vec::new();
        assert!(decode_datagram(&datagrams.concat(), 7, &mut answers).unwrap());
        assert_eq!(answers, [answer(14)]);
    }

    #[test]
    fn a_dump_ends_with_done() {
        let done = NetlinkPayload::Done(DoneMessage::default());
        let datagram = [message(answer(1).into(), 7), message(answer(2).into(), 7), message(done, 7)].concat();
        let mut answers = Vec::new();
        assert!(decode_datagram(&datagram, 7, &mut answers).unwrap());
        assert_eq!(answers, [answer(1), answer(2)]);
    }

    #[test]
    fn a_refusal_is_the_error_of_its_number() {
        match decode_datagram(&message(acknowledgement(ENOENT), 7), 7, &mut Vec::new()) {
            Err(Error::Io(error)) => assert_eq!(error.raw_os_error(), Some(ENOENT)),
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn an_answer_to_another_request_is_passed_over() {
        let stale = [message(answer(14).into(), 6), message(acknowledgement(ENOENT), 6)].concat();
        let mut answers = Vec::new();
        assert!(!decode_datagram(&stale, 7, &mut answers).unwrap());
        assert!(answers.is_empty());
    }

    #[test]
    fn a_datagram_cut_anywhere_never_completes_the_exchange() {
        let whole = [message(answer(14).into(), 7), message(acknowledgement(0), 7)].concat();
        for length in 0..whole.len() {
            assert!(!matches!(decode_datagram(&whole[..length], 7, &mut Vec::new()), Ok(true)), "cut at {length}");
        }
    }

    #[test]
    fn a_length_of_nothing_is_an_error_and_not_a_loop() {
        let mut bytes = message(answer(14).into(), 7);
        for length in 0_u32..16 {
            bytes[..4].copy_from_slice(&length.to_ne_bytes());
            assert!(matches!(decode_datagram(&bytes, 7, &mut Vec::new()), Err(Error::Malformed(_))), "length {length}");
        }
    }

    #[test]
    fn the_running_kernel_knows_its_own_controller() {
        let mut connection = Connection::open().unwrap();
        assert_eq!(connection.family("nlctrl").unwrap(), GENL_ID_CTRL);
        match connection.family("no such family") {
            Err(Error::Io(error)) => assert_eq!(error.raw_os_error(), Some(ENOENT)),
            other => panic!("{other:?}"),
        }
        // The refusal above has left nothing behind that the next exchange could take for its own.
        assert_eq!(connection.family("nlctrl").unwrap(), GENL_ID_CTRL);
    }

    #[test]
    fn a_dump_of_the_running_kernels_families_is_whole() {
        let mut connection = Connection::open().unwrap();
        let request = Message {
            family: GENL_ID_CTRL,
            command: CTRL_CMD_GETFAMILY,
            version: CONTROLLER_VERSION,
            attributes: Vec::new(),
        };
        let families = connection.exchange(Exchange::Dump, &request).unwrap();
        let mut names = Vec::new();
        for family in &families {
            for attribute in Attributes::new(&family.attributes) {
                let attribute = attribute.unwrap();
                if attribute.kind == CTRL_ATTR_FAMILY_NAME {
                    names.push(attribute.value);
                }
            }
        }
        assert_eq!(names.len(), families.len());
        assert!(names.contains(&&b"nlctrl\0"[..]));
    }
}
