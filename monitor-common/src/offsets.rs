//! Where the running kernel keeps what the kernel half reads.
//!
//! rustc emits no CO-RE relocations, so the daemon reads these from the kernel's BTF at start and
//! sets them as a read-only global before loading; the verifier then sees constants.

#[cfg(feature = "user")]
use zerocopy::{FromBytes, Immutable, IntoBytes, KnownLayout};

macro_rules! offsets {
    ($($(#[$doc:meta])* $field:ident = $structure:literal . $member:literal,)*) => {
        /// Byte offsets of members in the running kernel's structures, and settings that are
        /// constant for one load.
        #[repr(C)]
        #[derive(Clone, Copy, Default)]
        #[cfg_attr(feature = "user", derive(FromBytes, IntoBytes, Immutable, KnownLayout))]
        pub struct Offsets {
            $($(#[$doc])* #[doc = concat!("`", $structure, ".", $member, "`")] pub $field: u32,)*
            /// Index in `css_set.subsys` of the v1 controller that names containers; `u32::MAX` for none.
            pub v1_controller: u32,
            /// The daemon's own thread group id, whose reads are not events.
            pub own_pid: u32,
            /// 1 when programs may call bpf_probe_read_kernel; 0 under lockdown=confidentiality.
            pub kernel_reads: u32,
            /// Most events of one task in a second; those beyond are counted and not delivered.
            pub rate_cap: u32,
            /// Bytes waiting in the ring at which the daemon is woken at once.
            pub wakeup_bytes: u32,
        }

        impl Offsets {
            /// Every member that is looked up in BTF: structure, member (dots go into members, bars
            /// stand between names of different kernels), and where to write its offset.
            pub fn members(&mut self) -> impl Iterator<Item = (&'static str, &'static str, &mut u32)> {
                [$(($structure, $member, &mut self.$field),)*].into_iter()
            }
        }
    };
}

offsets! {
    task_tgid = "task_struct"."tgid",
    task_pid = "task_struct"."pid",
    task_start = "task_struct"."start_boottime",
    task_parent = "task_struct"."real_parent",
    task_leader = "task_struct"."group_leader",
    task_cred = "task_struct"."cred",
    task_real_cred = "task_struct"."real_cred",
    task_login_uid = "task_struct"."loginuid",
    task_session = "task_struct"."sessionid",
    task_mm = "task_struct"."mm",
    task_cgroups = "task_struct"."cgroups",
    task_signal = "task_struct"."signal",
    task_stack = "task_struct"."stack",
    task_nameidata = "task_struct"."nameidata",
    task_pid_links = "task_struct"."pid_links",
    task_files = "task_struct"."files",
    nameidata_inode = "nameidata"."inode",
    nameidata_path = "nameidata"."path",
    nameidata_last_name = "nameidata"."last.name",
    proc_inode_pid = "proc_inode"."pid",
    proc_inode_inode = "proc_inode"."vfs_inode",
    pid_tasks = "pid"."tasks",
    mm_owner = "mm_struct"."owner",
    files_table = "files_struct"."fdt",
    table_descriptors = "fdtable"."fd",
    cred_effective = "cred"."cap_effective",
    cred_permitted = "cred"."cap_permitted",
    key_owner = "key"."uid",
    key_serial = "key"."serial",
    key_description = "key"."description",
    file_mode = "file"."f_mode",
    fault_area = "vm_fault"."vma",
    area_file = "vm_area_struct"."vm_file",
    request_file = "kiocb"."ki_filp",
    inode_size = "inode"."i_size",
    inode_mode = "inode"."i_mode",
    sock_protocol = "sock"."sk_protocol",
    message_name = "msghdr"."msg_name",
    cred_uid = "cred"."uid",
    cred_euid = "cred"."euid",
    cred_gid = "cred"."gid",
    mm_exe_file = "mm_struct"."exe_file",
    file_inode = "file"."f_inode",
    file_path = "file"."f_path",
    path_dentry = "path"."dentry",
    path_mnt = "path"."mnt",
    dentry_parent = "dentry"."d_parent",
    dentry_name = "dentry"."d_name.name",
    dentry_hash = "dentry"."d_name.hash",
    dentry_len = "dentry"."d_name.len",
    dentry_inode = "dentry"."d_inode",
    dentry_alias = "dentry"."d_u.d_alias|d_alias",
    inode_number = "inode"."i_ino",
    inode_superblock = "inode"."i_sb",
    inode_aliases = "inode"."i_dentry",
    superblock_dev = "super_block"."s_dev",
    mapping_host = "address_space"."host",
    folio_mapping = "folio|page"."mapping",
    css_set_default = "css_set"."dfl_cgrp",
    css_set_subsys = "css_set"."subsys",
    css_cgroup = "cgroup_subsys_state"."cgroup",
    cgroup_kn = "cgroup"."kn",
    kn_id = "kernfs_node"."id",
    signal_tty = "signal_struct"."tty",
    tty_name = "tty_struct"."name",
    mount_mnt = "mount"."mnt",
    mount_parent = "mount"."mnt_parent",
    mount_mountpoint = "mount"."mnt_mountpoint",
    vfsmount_root = "vfsmount"."mnt_root",
    binprm_file = "linux_binprm"."file",
    socket_sk = "socket"."sk",
    sock_socket = "sock"."sk_socket",
    socket_inode = "socket_alloc"."vfs_inode",
    sock_family = "sock"."__sk_common.skc_family",
    unix_peer = "unix_sock"."peer",
    unix_path = "unix_sock"."path",
    tcp_sent = "tcp_sock"."bytes_sent",
    tcp_received = "tcp_sock"."bytes_received",
    regs_syscall = "pt_regs"."orig_ax",
    regs_first = "pt_regs"."di",
    regs_second = "pt_regs"."si",
}
