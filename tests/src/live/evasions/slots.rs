//! What each try came by, in memory that all processes share: a process that is gone at once can
//! still say so without one more system call.

use std::cell::UnsafeCell;
use std::fs::File;
use std::io;
use std::os::fd::AsFd;
use std::ptr::{NonNull, null_mut};
use std::sync::atomic::{AtomicU32, AtomicU64, Ordering};

use monitor::model::FileId;
use rustix::mm::{MapFlags, ProtFlags, mmap, munmap};

use super::scene::ROOM;

const WORDS: usize = 128;

const ENDED: u32 = 1;
const REFUSED: u32 = 2;
const FAILED: u32 = 3;

/// One try.
#[repr(C)]
pub(super) struct Slot {
    state: AtomicU32,
    /// The process that reads.
    pid: AtomicU32,
    /// The file that is read, where that is not the scene's.
    device: AtomicU64,
    inode: AtomicU64,
    content: UnsafeCell<[u8; ROOM]>,
    /// Why it failed.
    words: UnsafeCell<[u8; WORDS]>,
}

/// How a try ended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum End {
    /// It has not, or was never begun.
    Open,
    /// With these bytes.
    Read([u8; ROOM]),
    /// The kernel refused to open the file.
    Refused,
    /// An act could not be done.
    Failed(String),
}

impl Slot {
    pub(super) fn pid(&self) -> u32 {
        self.pid.load(Ordering::Acquire)
    }

    pub(super) fn set_pid(&self, pid: u32) {
        self.pid.store(pid, Ordering::Release);
    }

    /// Another file than the scene's, if that was read.
    pub(super) fn file(&self) -> Option<FileId> {
        let file = FileId {
            dev: self.device.load(Ordering::Acquire),
            ino: self.inode.load(Ordering::Acquire),
        };
        (file.ino != 0).then_some(file)
    }

    pub(super) fn set_file(&self, file: FileId) {
        self.device.store(file.dev, Ordering::Release);
        self.inode.store(file.ino, Ordering::Release);
    }

    /// Where the bytes go that are read.
    pub(super) fn room(&self) -> *mut [u8; ROOM] {
        self.content.get()
    }

    pub(super) fn set_read(&self) {
        self.state.store(ENDED, Ordering::Release);
    }

    pub(super) fn set_refused(&self) {
        self.state.store(REFUSED, Ordering::Release);
    }

    pub(super) fn fail(&self, why: &str) {
        let mut words = [0; WORDS];
        let length = why.len().min(WORDS);
        words[..length].copy_from_slice(&why.as_bytes()[..length]);
        // SAFETY: one process writes a slot at a time, and it is read once its state says so.
        unsafe { *self.words.get() = words };
        self.state.store(FAILED, Ordering::Release);
    }

    pub(super) fn end(&self) -> End {
        match self.state.load(Ordering::Acquire) {
            // SAFETY: the state was set after the last write.
            ENDED => End::Read(unsafe { *self.content.get() }),
            REFUSED => End::Refused,
            FAILED => {
                // SAFETY: as above.
                let words = unsafe { *self.words.get() };
                let words = String::from_utf8_lossy(&words);
                End::Failed(words.trim_end_matches('\0').to_owned())
            }
            _ => End::Open,
        }
    }
}

/// All tries of one evasion.
pub(super) struct Slots {
    memory: NonNull<Slot>,
    number: usize,
}

impl Slots {
    /// Maps a file of memory that has been given its size.
    pub(super) fn map(file: &File) -> io::Result<Self> {
        let length = usize::try_from(file.metadata()?.len()).map_err(io::Error::other)?;
        // SAFETY: a new mapping, at an address of the kernel's choice.
        let memory = unsafe {
            mmap(
                null_mut(),
                length,
                ProtFlags::READ | ProtFlags::WRITE,
                MapFlags::SHARED,
                file.as_fd(),
                0,
            )
        }?;
        Ok(Self {
            memory: NonNull::new(memory.cast()).ok_or(io::ErrorKind::OutOfMemory)?,
            number: length / size_of::<Slot>(),
        })
    }

    /// The size of a file for so many.
    pub(super) fn size(number: usize) -> u64 {
        (number * size_of::<Slot>()) as u64
    }

    pub(super) fn len(&self) -> usize {
        self.number
    }

    pub(super) fn get(&self, index: usize) -> &Slot {
        assert!(index < self.number);
        // SAFETY: the mapping holds so many slots, for which zeros are good, and lives as long as
        // this. What other processes write is atomic, or read behind an atomic.
        unsafe { self.memory.add(index).as_ref() }
    }

    pub(super) fn iter(&self) -> impl Iterator<Item = &Slot> {
        (0..self.number).map(|index| self.get(index))
    }
}

impl Drop for Slots {
    fn drop(&mut self) {
        // SAFETY: this very mapping, to which no slot is lent any more.
        let _ = unsafe { munmap(self.memory.as_ptr().cast(), self.number * size_of::<Slot>()) };
    }
}
