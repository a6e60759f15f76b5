//! Ring records to facts, beside a copy of the same bytes.

use std::hint::black_box;

use bytes::Bytes;
use criterion::Criterion;
use monitor::decode::{Clock, decode};
use monitor_common::{
    CloseRecord, ConnectRecord, FileRecord, Header, IdentityRecord, NamedFileRecord, ProcessRecord,
    TaskInfo, TaskRecord, UnixRecord, kind,
};
use zerocopy::{FromZeros, Immutable, IntoBytes};

use super::ratio::pair;

const PATH: &[u8] = b"python3.11\0bin\0usr\0";

pub(super) fn bench(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("decode");
    for (name, record) in records() {
        let bytes = record.clone();
        let baseline = move |bencher: &mut criterion::Bencher<'_>| {
            bencher.iter(|| black_box(&bytes[..]).to_vec());
        };
        let subject = |bencher: &mut criterion::Bencher<'_>| {
            bencher.iter(|| decode(black_box(&record), &Clock::FIXED));
        };
        assert!(decode(&record, &Clock::FIXED).is_ok(), "{name}");
        pair(&mut group, "decode", name, 1, subject, ("copy", baseline));
    }
    group.finish();
}

/// One of each kind, as the kernel half fills them.
fn records() -> Vec<(&'static str, Bytes)> {
    let mut task = TaskInfo {
        pid: 4242,
        ppid: 4000,
        uid: 1000,
        euid: 1000,
        login_uid: 1000,
        ..TaskInfo::default()
    };
    task.tty[..4].copy_from_slice(b"pts0");
    let mut process = ProcessRecord::new_zeroed();
    process.task = task;
    process.path.len = PATH.len() as u32;
    process.path.complete = 1;
    process.path.bytes[..PATH.len()].copy_from_slice(PATH);
    let mut named = NamedFileRecord::new_zeroed();
    (named.task, named.path) = (task, process.path);
    let mut connect = ConnectRecord::new_zeroed();
    connect.task = task;
    connect.address[10..].copy_from_slice(&[0xff, 0xff, 192, 0, 2, 7]);
    let mut close = CloseRecord::new_zeroed();
    (close.task, close.address) = (task, connect.address);
    let mut plain = TaskRecord::new_zeroed();
    plain.task = task;
    let mut file = FileRecord::new_zeroed();
    file.task = task;
    let mut unix = UnixRecord::new_zeroed();
    unix.task = task;
    let mut identity = IdentityRecord::new_zeroed();
    identity.task = task;
    vec![
        ("running", of(&process, kind::RUNNING)),
        ("exec", of(&process, kind::EXEC)),
        ("fork", of(&plain, kind::FORK)),
        ("exit", of(&plain, kind::EXIT)),
        ("file_read", of(&file, kind::FILE_READ)),
        ("file_map", of(&file, kind::FILE_MAP)),
        ("file_named", of(&named, kind::FILE_NAMED)),
        ("file_write", of(&named, kind::FILE_WRITE)),
        ("connect", of(&connect, kind::CONNECT)),
        ("unix", of(&unix, kind::UNIX)),
        ("close", of(&close, kind::CLOSE)),
        ("identity", of(&identity, kind::IDENTITY)),
    ]
}

/// A record's bytes with its kind, which stands first in its header.
fn of<T: IntoBytes + Immutable>(record: &T, kind: u16) -> Bytes {
    let mut bytes = record.as_bytes().to_vec();
    let at = std::mem::offset_of!(Header, kind);
    bytes[at..at + 2].copy_from_slice(&kind.to_ne_bytes());
    Bytes::from(bytes)
}
