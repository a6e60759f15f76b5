//! Which programs stand as filters of a qdisc, asked of the kernel by rtnetlink
//! (`include/uapi/linux/{rtnetlink,pkt_sched,pkt_cls}.h`): aya attaches them and takes them off, and has
//! no question.

use std::time::Duration;

use aya::programs::TcAttachType;
use rustix::io::Errno;
use rustix::net::netlink::SocketAddrNetlink;
use rustix::net::sockopt::{Timeout, set_socket_timeout};
use rustix::net::{
    AddressFamily, RecvFlags, SendFlags, SocketFlags, SocketType, recv, sendto, socket_with,
};
use zerocopy::{FromBytes, Immutable, IntoBytes};

use crate::sensor::netlink::{Header, split};

/// Where clsact has its filters: `TC_H_CLSACT` with `TC_H_MIN_INGRESS`, and with `TC_H_MIN_EGRESS`.
const INGRESS: u32 = 0xffff_fff2;
const EGRESS: u32 = 0xffff_fff3;
/// `TCA_BPF_ID`: the program's, which the kernel tells from Linux 4.13 on.
const PROGRAM: u16 = 11;
/// The kind of filters that are programs.
const BPF: &[u8] = b"bpf\0";
/// Bits of an attribute's type that say how it is written.
const FORM: u16 = 0xc000;
/// Longest datagram of an answer: the kernel makes none longer.
const LONGEST: usize = 32 << 10;
/// The kernel answers before the question's call returns.
const PATIENCE: Duration = Duration::from_secs(1);

/// `struct tcmsg`
#[derive(FromBytes, IntoBytes, Immutable)]
#[repr(C)]
struct Filter {
    family: u8,
    pad: [u8; 3],
    interface: u32,
    handle: u32,
    parent: u32,
    info: u32,
}

/// `struct nlattr`
#[derive(FromBytes, Immutable)]
#[repr(C)]
struct AttributeHeader {
    len: u16,
    kind: u16,
}

/// Whether an answer goes on.
#[derive(Debug, PartialEq, Eq)]
enum Answer {
    GoesOn,
    Done,
}

/// The ids of the programs that stand at this place of an interface, by its index. None where there is no
/// such qdisc.
///
/// # Errors
/// Those of the kernel, and `EBADMSG` for an answer that cannot be read.
pub(super) fn programs(interface: u32, place: TcAttachType) -> Result<Vec<u32>, Errno> {
    let flags = SocketFlags::CLOEXEC;
    let socket = socket_with(AddressFamily::NETLINK, SocketType::RAW, flags, None)?;
    set_socket_timeout(&socket, Timeout::Recv, Some(PATIENCE))?;
    let kernel = SocketAddrNetlink::new(0, 0);
    sendto(
        &socket,
        &question(interface, place),
        SendFlags::empty(),
        &kernel,
    )?;
    let mut buffer = vec![0; LONGEST];
    let mut found = Vec::new();
    loop {
        let (len, whole) = recv(&socket, buffer.as_mut_slice(), RecvFlags::TRUNC)?;
        let datagram = buffer.get(..len).filter(|_| whole == len);
        let datagram = datagram.ok_or(Errno::BADMSG)?;
        if take(datagram, &mut found)? == Answer::Done {
            return Ok(found);
        }
    }
}

fn question(interface: u32, place: TcAttachType) -> Vec<u8> {
    let header = Header {
        len: (size_of::<Header>() + size_of::<Filter>()) as u32,
        kind: libc::RTM_GETTFILTER,
        flags: (libc::NLM_F_REQUEST | libc::NLM_F_DUMP) as u16,
        sequence: 1,
        port: 0,
    };
    let filter = Filter {
        family: 0,
        pad: [0; 3],
        interface,
        handle: 0,
        parent: match place {
            TcAttachType::Ingress => INGRESS,
            TcAttachType::Egress => EGRESS,
            TcAttachType::Custom(parent) => parent,
        },
        info: 0,
    };
    [header.as_bytes(), filter.as_bytes()].concat()
}

/// Takes the programs' ids out of one datagram of the answer.
fn take(datagram: &[u8], found: &mut Vec<u32>) -> Result<Answer, Errno> {
    let mut rest = datagram;
    while !rest.is_empty() {
        let (kind, body, next) = split(rest).ok_or(Errno::BADMSG)?;
        rest = next;
        match i32::from(kind) {
            libc::NLMSG_DONE | libc::NLMSG_ERROR => {
                // Both begin with an error number, negative or 0.
                let error = i32::read_from_prefix(body).map_or(0, |(error, _)| error);
                return match error {
                    0 => Ok(Answer::Done),
                    error @ -4095..0 => Err(Errno::from_raw_os_error(-error)),
                    _ => Err(Errno::BADMSG),
                };
            }
            _ if kind == libc::RTM_NEWTFILTER => found.extend(program(body)),
            _ => {}
        }
    }
    Ok(Answer::GoesOn)
}

/// The program of a filter; `None` where it is of another kind.
fn program(body: &[u8]) -> Option<u32> {
    let attributes = || attributes(body.get(size_of::<Filter>()..).unwrap_or_default());
    let is_program = attributes().any(|(kind, value)| kind == libc::TCA_KIND && value == BPF);
    let (_, options) = attributes().find(|(kind, _)| *kind == libc::TCA_OPTIONS && is_program)?;
    let (_, id) = self::attributes(options).find(|(kind, _)| *kind == PROGRAM)?;
    u32::read_from_bytes(id).ok()
}

/// Attributes with their types, up to the first that is cut short.
fn attributes(bytes: &[u8]) -> impl Iterator<Item = (u16, &[u8])> {
    let mut rest = bytes;
    std::iter::from_fn(move || {
        let (header, _) = AttributeHeader::read_from_prefix(rest).ok()?;
        let len = usize::from(header.len);
        let value = rest.get(size_of::<AttributeHeader>()..len)?;
        rest = rest.get(len.next_multiple_of(4)..).unwrap_or_default();
        Some((header.kind & !FORM, value))
    })
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn attribute(kind: u16, value: &[u8]) -> Vec<u8> {
        let len = (size_of::<AttributeHeader>() + value.len()) as u16;
        let mut bytes = [&len.to_ne_bytes(), &kind.to_ne_bytes(), value].concat();
        bytes.resize(bytes.len().next_multiple_of(4), 0);
        bytes
    }

    fn message(kind: u16, body: &[u8]) -> Vec<u8> {
        let header = Header {
            len: (size_of::<Header>() + body.len()) as u32,
            kind,
            flags: 2,
            sequence: 1,
            port: 7,
        };
        [header.as_bytes(), body].concat()
    }

    fn filter(kind: &[u8], id: u32) -> Vec<u8> {
        let options = [
            attribute(7, b"gateway_ingress\0"),
            attribute(PROGRAM, &id.to_ne_bytes()),
        ];
        let body = [
            vec![0; size_of::<Filter>()],
            attribute(libc::TCA_KIND, kind),
            attribute(libc::TCA_OPTIONS | 0x8000, &options.concat()),
        ];
        message(libc::RTM_NEWTFILTER, &body.concat())
    }

    #[test]
    fn programs_are_told_from_other_filters() {
        let done = message(libc::NLMSG_DONE as u16, &0_i32.to_ne_bytes());
        let mut found = Vec::new();
        let first = [filter(BPF, 41), filter(b"u32\0", 42)].concat();
        assert_eq!(take(&first, &mut found), Ok(Answer::GoesOn));
        let last = [filter(BPF, 43), done].concat();
        assert_eq!(take(&last, &mut found), Ok(Answer::Done));
        assert_eq!(found, [41, 43]);
    }

    #[test]
    fn errors_of_the_kernel_and_pieces_are_errors() {
        let refused = message(libc::NLMSG_ERROR as u16, &(-1_i32).to_ne_bytes());
        assert_eq!(take(&refused, &mut Vec::new()), Err(Errno::PERM));
        let whole = filter(BPF, 41);
        let piece = &whole[..whole.len() - 1];
        assert_eq!(take(piece, &mut Vec::new()), Err(Errno::BADMSG));
    }

    #[test]
    fn an_interface_without_such_a_qdisc_has_no_programs() {
        // The first interface of every network namespace is the loopback.
        assert_eq!(programs(1, TcAttachType::Egress), Ok(Vec::new()));
    }

    proptest! {
        #[test]
        fn any_bytes_end_in_programs_or_an_error(
            bytes in proptest::collection::vec(any::<u8>(), 0..200),
            damage in proptest::collection::vec((0_usize..200, any::<u8>()), 0..6),
        ) {
            let _ = take(&bytes, &mut Vec::new());
            let mut bytes = [filter(BPF, 41), filter(BPF, 42)].concat();
            for (at, byte) in damage {
                if let Some(place) = bytes.get_mut(at) {
                    *place = byte;
                }
            }
            let mut found = Vec::new();
            let _ = take(&bytes, &mut found);
            prop_assert!(found.len() <= bytes.len() / size_of::<Header>());
        }
    }
}
