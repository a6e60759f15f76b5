//! Offsets of kernel structures from the running kernel's BTF: 15 ms with the mapped backend.

use std::fs::File;
use std::os::fd::{AsRawFd, OwnedFd};

use btf_rs::{Backend, Btf, Member, Type};
use monitor_common::Offsets;
use rustix::fs::MemfdFlags;

/// Why the kernel's own description could not be used.
#[derive(Debug, thiserror::Error)]
pub enum OffsetError {
    /// No BTF, or none that can be read.
    #[error(
        "cannot read the kernel's type information at {path}: {source}. Credwatch needs a kernel \
         built with CONFIG_DEBUG_INFO_BTF=y; every stock distribution kernel since 2021 is"
    )]
    NoBtf {
        /// Where it should be.
        path: &'static str,
        /// What the library said.
        source: btf_rs::Error,
    },
    /// A structure or member that no program can do without.
    #[error(
        "this kernel has no `{structure}.{member}`: Credwatch does not know its layout; please report `uname -r`"
    )]
    Missing {
        /// The structure.
        structure: &'static str,
        /// The member.
        member: &'static str,
    },
}

/// Where the kernel describes its own types.
const VMLINUX: &str = "/sys/kernel/btf/vmlinux";

/// Members that a kernel may lack, by age or by how it was built: their offset is then `u32::MAX`,
/// and the kernel refuses the programs that cannot do without.
const OPTIONAL: &[(&str, &str)] = &[
    ("task_struct", "loginuid"),
    ("task_struct", "sessionid"),
    ("task_struct", "nameidata"),
    ("nameidata", "inode"),
    ("nameidata", "path"),
    ("nameidata", "last.name"),
    ("proc_inode", "pid"),
    ("proc_inode", "vfs_inode"),
    ("mm_struct", "owner"),
    ("folio|page", "mapping"),
    ("key", "uid"),
    ("key", "serial"),
    ("key", "description"),
    ("unix_sock", "peer"),
    ("unix_sock", "path"),
];

/// Reads every offset that the kernel half needs. The settings among them stay zero.
pub(super) fn read() -> Result<Offsets, OffsetError> {
    let btf = open().map_err(|source| OffsetError::NoBtf {
        path: VMLINUX,
        source,
    })?;
    let mut offsets = Offsets::default();
    for (structure, member, slot) in offsets.members() {
        *slot = match member_offset(&btf, structure, member) {
            Some(offset) => offset,
            None if OPTIONAL.contains(&(structure, member)) => u32::MAX,
            None => return Err(OffsetError::Missing { structure, member }),
        };
    }
    offsets.v1_controller = controller_index(&btf).unwrap_or(u32::MAX);
    Ok(offsets)
}

/// Maps the description. Before 6.16 that file cannot be mapped, and a copy in memory can: to read
/// it in another way takes the library a hundred times as long.
fn open() -> Result<Btf, btf_rs::Error> {
    if let Ok(mapped) = Btf::from_file_with_backend(VMLINUX, Backend::Mmap) {
        return Ok(mapped);
    }
    let copy = || -> std::io::Result<OwnedFd> {
        let memory = rustix::fs::memfd_create("btf", MemfdFlags::CLOEXEC)?;
        std::io::copy(
            &mut File::open(VMLINUX)?,
            &mut File::from(memory.try_clone()?),
        )?;
        Ok(memory)
    };
    let memory = copy().map_err(btf_rs::Error::IO)?;
    let path = format!("/proc/self/fd/{}", memory.as_raw_fd());
    Btf::from_file_with_backend(path, Backend::Mmap)
}

/// The v1 controller whose hierarchy container runtimes always use.
fn controller_index(btf: &Btf) -> Option<u32> {
    let types = btf.resolve_types_by_name("cgroup_subsys_id").ok()?;
    let members = types.into_iter().find_map(|found| match found {
        Type::Enum(found) => Some(found),
        _ => None,
    })?;
    let index = |wanted: &str| {
        members
            .members
            .iter()
            .find(|member| btf.resolve_name(*member).is_ok_and(|name| name == wanted))
            .map(btf_rs::EnumMember::val)
    };
    index("memory_cgrp_id").or_else(|| index("pids_cgrp_id"))
}

/// The offset in bytes of a member (`a` or `a.b`; `a|b` where kernels name it differently) in a
/// structure; anonymous members are looked into.
fn member_offset(btf: &Btf, structure: &str, member: &str) -> Option<u32> {
    let found = structure
        .split('|')
        .find_map(|name| btf.resolve_types_by_name(name).ok())?;
    let bits = member.split('|').find_map(|path| {
        let mut types = found.iter();
        types.find_map(|found| in_type(btf, found, path))
    })?;
    Some(bits / 8)
}

fn in_type(btf: &Btf, of: &Type, path: &str) -> Option<u32> {
    let (Type::Struct(of) | Type::Union(of)) = of else {
        return None;
    };
    let (first, rest) = match path.split_once('.') {
        Some((first, rest)) => (first, Some(rest)),
        None => (path, None),
    };
    of.members.iter().find_map(|member| {
        let name = btf.resolve_name(member).unwrap_or_default();
        let inner = if name == first {
            rest
        } else {
            name.is_empty().then_some(path)
        };
        match inner {
            None if name == first => Some(member.bit_offset()),
            None => None,
            Some(inner) => {
                let inner = in_type(btf, &underlying(btf, member)?, inner)?;
                Some(member.bit_offset() + inner)
            }
        }
    })
}

/// A member's type, behind typedefs and qualifiers.
fn underlying(btf: &Btf, member: &Member) -> Option<Type> {
    let mut found = btf.resolve_chained_type(member).ok()?;
    loop {
        found = match &found {
            Type::Typedef(inner) => btf.resolve_chained_type(inner).ok()?,
            Type::Const(inner) => btf.resolve_chained_type(inner).ok()?,
            Type::Volatile(inner) => btf.resolve_chained_type(inner).ok()?,
            _ => return Some(found),
        };
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_this_kernels_layout() {
        let mut offsets = read().expect("this kernel has BTF");
        assert_ne!(offsets.task_tgid, offsets.task_pid);
        // Pointers are eight-byte aligned wherever the kernel puts them.
        for (structure, member, offset) in offsets.members() {
            if ["real_parent", "cred", "f_inode", "i_sb", "d_parent", "host"].contains(&member) {
                assert_eq!(*offset % 8, 0, "{structure}.{member}");
            }
        }
    }
}
