//! Bytes of the process connector to events. Pure, and total: any bytes end in messages or in an
//! error, never in a panic. The kernel's side is `include/uapi/linux/{netlink,connector,cn_proc}.h`.

use zerocopy::{FromBytes, Immutable, IntoBytes};

use crate::sensor::netlink::{Header, split};

/// Longest datagram that the kernel sends: three headers, and the largest event of any version.
pub const LONGEST: usize = 256;

/// `struct cn_msg`
#[derive(Clone, Copy, FromBytes, IntoBytes, Immutable)]
#[repr(C)]
struct ConnectorHeader {
    index: u32,
    value: u32,
    sequence: u32,
    ack: u32,
    len: u16,
    flags: u16,
}

/// `struct proc_event` up to its union.
#[derive(FromBytes, Immutable)]
#[repr(C)]
struct EventHeader {
    what: u32,
    cpu: u32,
    time: u64,
}

/// `struct proc_input`, which Linux 6.6 brought. Before that only its first word was taken.
#[derive(IntoBytes, Immutable)]
#[repr(C)]
struct Input {
    operation: u32,
    events: u32,
}

/// A thread and the process that it belongs to, both in the host's pid namespace.
#[derive(Debug, Clone, Copy, PartialEq, Eq, FromBytes, IntoBytes, Immutable)]
#[repr(C)]
pub struct Thread {
    /// Id of the thread.
    pub id: u32,
    /// Id of its process.
    pub process: u32,
}

impl Thread {
    /// Whether this is the process's first thread, which bears its id.
    pub fn is_leader(self) -> bool {
        self.id == self.process
    }
}

/// What the kernel says.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Message {
    /// Counts all messages of this CPU, for all listeners and of all kinds.
    pub sequence: u32,
    /// One more than that of the request which this answers.
    pub ack: u32,
    /// The CPU on which it happened.
    pub cpu: u32,
    /// When, in nanoseconds of CLOCK_MONOTONIC.
    pub time: u64,
    /// What.
    pub event: Event,
}

/// What happened.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Event {
    /// A request was taken, or refused with this error number.
    Ack {
        /// Zero where it was taken.
        error: u32,
    },
    /// A thread was made; a process, where it is its own leader.
    Fork {
        /// By whom.
        parent: Thread,
        /// The new one.
        child: Thread,
    },
    /// A program was replaced.
    Exec(Thread),
    /// One of the uids of a thread changed.
    Uid {
        /// Whose.
        thread: Thread,
        /// The real one, as it is now.
        real: u32,
        /// The effective one.
        effective: u32,
    },
    /// One of the gids of a thread changed.
    Gid {
        /// Whose.
        thread: Thread,
        /// The real one, as it is now.
        real: u32,
    },
    /// A thread was attached to; or left alone again, where the tracer is 0.
    Ptrace {
        /// Who is traced.
        thread: Thread,
        /// By whom.
        tracer: Thread,
    },
    /// A thread ended.
    Exit(Thread),
    /// Of no interest: a name, a session, a core dump, or a kind that is not known yet.
    Other(u32),
}

/// Why bytes are no message.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum MessageError {
    /// They end too early.
    #[error("the process connector sent a message that is cut short")]
    Short,
    /// The message is of another kind.
    #[error("the process connector sent a netlink message of kind {0}")]
    Kind(u16),
    /// The message is from another connector.
    #[error("the message is from connector {index}.{value}, which is not that of processes")]
    Foreign {
        /// Its index.
        index: u32,
        /// Its value.
        value: u32,
    },
}

/// All messages of a datagram.
pub fn messages(datagram: &[u8]) -> impl Iterator<Item = Result<Message, MessageError>> {
    let mut rest = datagram;
    std::iter::from_fn(move || {
        loop {
            if rest.is_empty() {
                return None;
            }
            let Some((kind, body, next)) = split(rest) else {
                rest = &[];
                return Some(Err(MessageError::Short));
            };
            rest = next;
            match i32::from(kind) {
                libc::NLMSG_NOOP => {}
                libc::NLMSG_DONE => return Some(message(body)),
                _ => return Some(Err(MessageError::Kind(kind))),
            }
        }
    })
}

fn message(body: &[u8]) -> Result<Message, MessageError> {
    let (header, rest) = read::<ConnectorHeader>(body)?;
    if (header.index, header.value) != (libc::CN_IDX_PROC, libc::CN_VAL_PROC) {
        return Err(MessageError::Foreign {
            index: header.index,
            value: header.value,
        });
    }
    let rest = rest
        .get(..usize::from(header.len))
        .ok_or(MessageError::Short)?;
    let (head, data) = read::<EventHeader>(rest)?;
    Ok(Message {
        sequence: header.sequence,
        ack: header.ack,
        cpu: head.cpu,
        time: head.time,
        event: event(head.what, data)?,
    })
}

fn event(what: u32, data: &[u8]) -> Result<Event, MessageError> {
    Ok(match what {
        libc::PROC_EVENT_NONE => Event::Ack {
            error: read(data)?.0,
        },
        libc::PROC_EVENT_FORK => {
            let ([parent, child], _) = read::<[Thread; 2]>(data)?;
            Event::Fork { parent, child }
        }
        libc::PROC_EVENT_EXEC => Event::Exec(read(data)?.0),
        libc::PROC_EVENT_UID => {
            let (thread, ids) = read(data)?;
            let ([real, effective], _) = read::<[u32; 2]>(ids)?;
            Event::Uid {
                thread,
                real,
                effective,
            }
        }
        libc::PROC_EVENT_GID => {
            let (thread, ids) = read(data)?;
            Event::Gid {
                thread,
                real: read(ids)?.0,
            }
        }
        libc::PROC_EVENT_PTRACE => {
            let ([thread, tracer], _) = read::<[Thread; 2]>(data)?;
            Event::Ptrace { thread, tracer }
        }
        libc::PROC_EVENT_EXIT => Event::Exit(read(data)?.0),
        other => Event::Other(other),
    })
}

/// Read and not borrowed: an event begins at a multiple of four, and its time is eight bytes long.
fn read<T: FromBytes>(bytes: &[u8]) -> Result<(T, &[u8]), MessageError> {
    T::read_from_prefix(bytes).map_err(|_| MessageError::Short)
}

/// Asks for all events, in the form that every kernel takes.
pub(super) fn listen(ack: u32) -> Vec<u8> {
    request(ack, libc::PROC_CN_MCAST_LISTEN)
}

/// Asks for the events of a mask; all, where it is 0. Kernels before 6.6 do not answer this.
pub(super) fn listen_to(ack: u32, events: u32) -> Vec<u8> {
    request(
        ack,
        Input {
            operation: libc::PROC_CN_MCAST_LISTEN,
            events,
        },
    )
}

/// Asks for no more events.
pub(super) fn ignore(ack: u32) -> Vec<u8> {
    request(ack, libc::PROC_CN_MCAST_IGNORE)
}

fn request<T: IntoBytes + Immutable>(ack: u32, body: T) -> Vec<u8> {
    let netlink = Header {
        len: (size_of::<Header>() + size_of::<ConnectorHeader>() + size_of::<T>()) as u32,
        kind: libc::NLMSG_DONE as u16,
        flags: 0,
        sequence: 0,
        port: 0,
    };
    let connector = ConnectorHeader {
        index: libc::CN_IDX_PROC,
        value: libc::CN_VAL_PROC,
        sequence: 0,
        ack,
        len: size_of::<T>() as u16,
        flags: 0,
    };
    [netlink.as_bytes(), connector.as_bytes(), body.as_bytes()].concat()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn datagram(header: ConnectorHeader, what: u32, words: &[u32]) -> Vec<u8> {
        let data = [[what, 3, 0x1111, 0x2222].as_bytes(), words.as_bytes()].concat();
        let connector = ConnectorHeader {
            len: data.len() as u16,
            ..header
        };
        let netlink = Header {
            len: (size_of::<Header>() + size_of::<ConnectorHeader>() + data.len()) as u32,
            kind: libc::NLMSG_DONE as u16,
            flags: 0,
            sequence: 0,
            port: 0,
        };
        [netlink.as_bytes(), connector.as_bytes(), &data].concat()
    }

    const HEADER: ConnectorHeader = ConnectorHeader {
        index: libc::CN_IDX_PROC,
        value: libc::CN_VAL_PROC,
        sequence: 70,
        ack: 8,
        len: 0,
        flags: 0,
    };

    fn one(what: u32, words: &[u32]) -> Result<Message, MessageError> {
        let all: Vec<_> = messages(&datagram(HEADER, what, words)).collect();
        assert_eq!(all.len(), 1);
        all[0]
    }

    fn thread(id: u32, process: u32) -> Thread {
        Thread { id, process }
    }

    #[test]
    fn each_event_comes_out_as_it_went_in() {
        let words = [11, 12, 13, 14, 15, 16];
        let expected = [
            (libc::PROC_EVENT_NONE, Event::Ack { error: 11 }),
            (
                libc::PROC_EVENT_FORK,
                Event::Fork {
                    parent: thread(11, 12),
                    child: thread(13, 14),
                },
            ),
            (libc::PROC_EVENT_EXEC, Event::Exec(thread(11, 12))),
            (
                libc::PROC_EVENT_UID,
                Event::Uid {
                    thread: thread(11, 12),
                    real: 13,
                    effective: 14,
                },
            ),
            (
                libc::PROC_EVENT_GID,
                Event::Gid {
                    thread: thread(11, 12),
                    real: 13,
                },
            ),
            (
                libc::PROC_EVENT_PTRACE,
                Event::Ptrace {
                    thread: thread(11, 12),
                    tracer: thread(13, 14),
                },
            ),
            (libc::PROC_EVENT_EXIT, Event::Exit(thread(11, 12))),
            (libc::PROC_EVENT_COMM, Event::Other(libc::PROC_EVENT_COMM)),
        ];
        for (what, event) in expected {
            let message = Message {
                sequence: 70,
                ack: 8,
                cpu: 3,
                time: 0x2222_0000_1111,
                event,
            };
            assert_eq!(one(what, &words), Ok(message));
        }
        assert_eq!(one(libc::PROC_EVENT_FORK, &[1]), Err(MessageError::Short));
    }

    #[test]
    fn messages_of_others_are_told_apart() {
        let header = ConnectorHeader { index: 9, ..HEADER };
        let foreign = datagram(header, libc::PROC_EVENT_EXEC, &[1, 1]);
        let expected = MessageError::Foreign { index: 9, value: 1 };
        assert_eq!(messages(&foreign).collect::<Vec<_>>(), [Err(expected)]);
        let mut error = datagram(HEADER, libc::PROC_EVENT_EXEC, &[1, 1]);
        error[4] = libc::NLMSG_ERROR as u8;
        let expected = MessageError::Kind(libc::NLMSG_ERROR as u16);
        assert_eq!(messages(&error).collect::<Vec<_>>(), [Err(expected)]);
    }

    /// The bytes that `include/uapi/linux/cn_proc.h` lays down, on a little-endian host.
    #[test]
    #[cfg(target_endian = "little")]
    fn requests_have_the_kernels_form() {
        let header = |len, body| {
            let mut bytes = vec![len, 0, 0, 0, 3, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0];
            bytes.extend([
                1, 0, 0, 0, 1, 0, 0, 0, 0, 0, 0, 0, 7, 0, 0, 0, body, 0, 0, 0,
            ]);
            bytes
        };
        let mut expected = header(40, 4);
        expected.extend([1, 0, 0, 0]);
        assert_eq!(listen(7), expected);
        expected[36] = 2;
        assert_eq!(ignore(7), expected);
        let mut expected = header(44, 8);
        expected.extend([1, 0, 0, 0, 4, 1, 0, 0]);
        let events = libc::PROC_EVENT_UID | libc::PROC_EVENT_PTRACE;
        assert_eq!(listen_to(7, events), expected);
    }

    proptest! {
        #[test]
        fn any_bytes_end_in_messages_or_errors(bytes in proptest::collection::vec(any::<u8>(), 0..400)) {
            // Each message takes a header's bytes at least.
            prop_assert!(messages(&bytes).count() <= bytes.len() / 16 + 1);
        }

        #[test]
        fn damaged_messages_end_in_messages_or_errors(
            what in prop_oneof![0u32..16, Just(libc::PROC_EVENT_PTRACE), Just(libc::PROC_EVENT_EXIT)],
            words in proptest::collection::vec(any::<u32>(), 0..12),
            damage in proptest::collection::vec((0usize..64, any::<u8>()), 0..4),
            cut in 0usize..100,
        ) {
            let mut bytes = [datagram(HEADER, what, &words), datagram(HEADER, what, &words)].concat();
            for (at, byte) in damage {
                if let Some(place) = bytes.get_mut(at) {
                    *place = byte;
                }
            }
            bytes.truncate(bytes.len().saturating_sub(cut));
            prop_assert!(messages(&bytes).count() <= bytes.len() / 16 + 1);
        }

        #[test]
        fn a_whole_datagram_gives_each_of_its_messages(
            events in proptest::collection::vec((any::<[u32; 4]>(), any::<u32>()), 1..6),
        ) {
            let mut bytes = Vec::new();
            for (words, sequence) in &events {
                let header = ConnectorHeader { sequence: *sequence, ..HEADER };
                bytes.extend(datagram(header, libc::PROC_EVENT_FORK, words));
            }
            let found: Vec<_> = messages(&bytes).collect();
            prop_assert_eq!(found.len(), events.len());
            for (found, ([a, b, c, d], sequence)) in found.into_iter().zip(events) {
                let found = found.map_err(|error| TestCaseError::fail(error.to_string()))?;
                prop_assert_eq!(found.sequence, sequence);
                let event = Event::Fork { parent: thread(a, b), child: thread(c, d) };
                prop_assert_eq!(found.event, event);
            }
        }
    }
}
