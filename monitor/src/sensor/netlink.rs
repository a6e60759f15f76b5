//! The frame of netlink messages, as `include/uapi/linux/netlink.h` lays it down. Pure, and total: any
//! bytes end in messages or in none.

use zerocopy::{FromBytes, Immutable, IntoBytes};

/// `struct nlmsghdr`
#[derive(Debug, Clone, Copy, FromBytes, IntoBytes, Immutable)]
#[repr(C)]
pub(super) struct Header {
    /// Length of the message with this header, in bytes.
    pub(super) len: u32,
    pub(super) kind: u16,
    pub(super) flags: u16,
    pub(super) sequence: u32,
    pub(super) port: u32,
}

/// The kind and body of the first message, and what follows it.
pub(super) fn split(bytes: &[u8]) -> Option<(u16, &[u8], &[u8])> {
    let (header, _) = Header::read_from_prefix(bytes).ok()?;
    let len = usize::try_from(header.len).ok()?;
    let body = bytes.get(size_of::<Header>()..len)?;
    // Messages begin at multiples of four; the last one need not be filled up.
    let next = bytes.get(len.next_multiple_of(4)..).unwrap_or_default();
    Some((header.kind, body, next))
}
