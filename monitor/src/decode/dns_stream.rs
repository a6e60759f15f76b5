//! Messages out of TCP: pieces put in order, and cut where each says that it ends.

/// Most connections that are followed at a time; the one that was quiet longest makes room.
const FLOWS: usize = 64;
/// Most bytes of one connection that wait for those before them.
const AHEAD: usize = 64 << 10;
/// Most pieces of one connection that wait: each is looked at when another comes.
const PIECES: usize = 256;

/// Connections to resolvers.
#[derive(Debug, Default)]
pub(super) struct Streams {
    /// The quietest first.
    flows: Vec<Flow>,
    /// Connections that were given up with something unread.
    given_up: u64,
}

#[derive(Debug)]
struct Flow {
    socket: u64,
    /// Sequence number of the byte behind those in `buffer`.
    next: u32,
    /// Begins with a message: two bytes of length, then as many as they say (RFC 1035, 4.2.2). At
    /// most one and a piece, as whole ones are taken out at once.
    buffer: Vec<u8>,
    /// What came before its turn, by sequence number.
    ahead: Vec<(u32, Vec<u8>)>,
}

impl Streams {
    /// Takes in a piece of a connection and gives the messages that are whole now.
    ///
    /// A connection begins with the first piece that is seen of it, which the kernel half sees to
    /// be that of the handshake.
    pub(super) fn take(&mut self, socket: u64, sequence: u32, bytes: &[u8]) -> Vec<Vec<u8>> {
        let known = self.flows.iter().position(|flow| flow.socket == socket);
        let mut flow = match known {
            Some(at) => self.flows.remove(at),
            None => Flow::new(socket, sequence),
        };
        if !flow.add(sequence, bytes) {
            self.given_up += 1;
            return Vec::new();
        }
        let messages = flow.messages();
        if self.flows.len() >= FLOWS {
            let quietest = self.flows.remove(0);
            self.given_up += u64::from(quietest.is_amid());
        }
        self.flows.push(flow);
        messages
    }

    /// Forgets a connection that does not speak the protocol.
    pub(super) fn forget(&mut self, socket: u64) {
        self.flows.retain(|flow| flow.socket != socket);
    }

    /// How many connections were given up since the last call.
    pub(super) fn take_given_up(&mut self) -> u64 {
        std::mem::take(&mut self.given_up)
    }
}

impl Flow {
    fn new(socket: u64, next: u32) -> Self {
        Self {
            socket,
            next,
            buffer: Vec::new(),
            ahead: Vec::new(),
        }
    }

    /// Whether something has come of which not all has come.
    fn is_amid(&self) -> bool {
        !self.buffer.is_empty() || !self.ahead.is_empty()
    }

    /// Takes in a piece; `false` when too much is missing before it.
    fn add(&mut self, sequence: u32, bytes: &[u8]) -> bool {
        if !self.append(sequence, bytes) {
            self.ahead.push((sequence, bytes.to_vec()));
            let waiting: usize = self.ahead.iter().map(|(_, bytes)| bytes.len()).sum();
            return waiting <= AHEAD && self.ahead.len() <= PIECES;
        }
        // Each round places one at least.
        while let Some(at) = self.ahead.iter().position(|(at, _)| self.is_next(*at)) {
            let (sequence, bytes) = self.ahead.swap_remove(at);
            self.append(sequence, &bytes);
        }
        true
    }

    /// How far a sequence number lies ahead, over the end of the numbers.
    fn distance(&self, sequence: u32) -> i32 {
        sequence.wrapping_sub(self.next).cast_signed()
    }

    fn is_next(&self, sequence: u32) -> bool {
        self.distance(sequence) <= 0
    }

    /// Puts a piece behind what is there, without what is there already.
    fn append(&mut self, sequence: u32, bytes: &[u8]) -> bool {
        let distance = self.distance(sequence);
        if distance > 0 {
            return false;
        }
        let known = usize::try_from(distance.unsigned_abs()).unwrap_or(usize::MAX);
        let new = bytes.get(known..).unwrap_or_default();
        self.buffer.extend_from_slice(new);
        // A piece has far fewer bytes than there are numbers.
        self.next = self
            .next
            .wrapping_add(u32::try_from(new.len()).unwrap_or(0));
        true
    }

    /// Takes out the messages that are whole.
    fn messages(&mut self) -> Vec<Vec<u8>> {
        let mut messages = Vec::new();
        let mut rest = self.buffer.as_slice();
        while let Some((length, behind)) = rest.split_first_chunk() {
            let length = usize::from(u16::from_be_bytes(*length));
            let Some((message, behind)) = behind.split_at_checked(length) else {
                break;
            };
            messages.push(message.to_vec());
            rest = behind;
        }
        let used = self.buffer.len() - rest.len();
        self.buffer.drain(..used);
        messages
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// Messages as a stream has them.
    fn stream(messages: &[Vec<u8>]) -> Vec<u8> {
        let one = |message: &Vec<u8>| {
            let len = u16::try_from(message.len()).unwrap().to_be_bytes();
            [&len[..], message].concat()
        };
        messages.iter().flat_map(one).collect()
    }

    proptest! {
        /// Cut anywhere, in any order, some of it twice, over the end of the sequence numbers.
        #[test]
        fn messages_come_out_as_they_went_in(
            messages in proptest::collection::vec(
                proptest::collection::vec(any::<u8>(), 0..300), 1..8),
            begin in prop_oneof![any::<u32>(), Just(u32::MAX - 100)],
            mut cuts in proptest::collection::vec(any::<prop::sample::Index>(), 0..12),
            order in any::<u64>(),
        ) {
            let bytes = stream(&messages);
            cuts.sort_by_key(|cut| cut.index(bytes.len()));
            let mut edges: Vec<_> = cuts.iter().map(|cut| cut.index(bytes.len())).collect();
            edges.insert(0, 0);
            edges.push(bytes.len());
            let mut pieces: Vec<_> = edges
                .windows(2)
                .map(|edge| (edge[0], &bytes[edge[0]..edge[1]]))
                .collect();
            // One that overlaps its neighbours.
            pieces.push((edges[0], &bytes[..edges[edges.len() / 2]]));
            pieces.sort_by_key(|(at, piece)| (at * 31 + piece.len()) as u64 ^ order);
            let mut streams = Streams::default();
            let mut found = streams.take(1, begin, &[]);
            for (at, piece) in pieces {
                let sequence = begin.wrapping_add(u32::try_from(at).unwrap());
                found.extend(streams.take(1, sequence, piece));
            }
            prop_assert_eq!(found, messages);
            prop_assert_eq!(streams.take_given_up(), 0);
            prop_assert!(!streams.flows[0].is_amid());
        }

        #[test]
        fn any_pieces_stay_within_bounds(
            pieces in proptest::collection::vec(
                (0u64..80, 0u32..100_000, 0usize..1_232),
                0..400,
            ),
        ) {
            let mut streams = Streams::default();
            for (socket, sequence, len) in pieces {
                streams.take(socket % 70, sequence, &vec![0x20; len]);
                prop_assert!(streams.flows.len() <= FLOWS);
                for flow in &streams.flows {
                    let ahead: usize = flow.ahead.iter().map(|(_, bytes)| bytes.len()).sum();
                    prop_assert!(flow.ahead.len() <= PIECES);
                    prop_assert!(ahead <= AHEAD && flow.buffer.len() <= usize::from(u16::MAX) + 1);
                }
            }
        }
    }

    #[test]
    fn the_quietest_connection_makes_room_and_is_counted_when_it_was_amid() {
        let mut streams = Streams::default();
        streams.take(1, 0, &[0]);
        streams.take(2, 0, &[]);
        for socket in 3..=64 {
            streams.take(socket, 0, &[0, 1]);
        }
        // The first speaks again: now the second is the quietest, and has nothing unread.
        assert!(streams.take(1, 1, &[9]).is_empty());
        streams.take(65, 0, &[]);
        assert_eq!(streams.take_given_up(), 0);
        assert_eq!(streams.take(1, 2, b"nine bytes"), [b"nine byte"]);
        streams.take(66, 0, &[]);
        assert_eq!(streams.take_given_up(), 1);
        assert_eq!(streams.take_given_up(), 0);
    }

    #[test]
    fn a_connection_of_which_too_much_is_missing_is_given_up() {
        let mut streams = Streams::default();
        streams.take(1, 0, &[]);
        let mut at = 10;
        while streams.take_given_up() == 0 {
            streams.take(1, at, &[0; 1_000]);
            at += 1_000;
            assert!(at < 100_000);
        }
        assert!(at > 60_000 && streams.flows.is_empty());
        // What follows begins anew.
        assert_eq!(streams.take(1, at, &[0, 1, 7]), [[7]]);
    }
}
