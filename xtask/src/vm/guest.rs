//! The guest's disks: one of programs that seldom change, one of what was just built.
//!
//! Both are made by mke2fs from a directory, without mounting anything, and every boot works on a
//! copy that is thrown away.

use std::{
    fs,
    io::Write as _,
    os::unix::fs::PermissionsExt as _,
    path::{Path, PathBuf},
    process::{Command, Stdio},
};

use anyhow::{Context as _, Result, ensure};

use super::packages::Packages;
use crate::process;

/// Beside the programs there is room for what tests write. The file is sparse.
const ROOT_SIZE: &str = "1536M";
const BUILT_SIZE: &str = "512M";

/// ext4 as every kernel of the matrix knows it.
const FEATURES: &str = "none,has_journal,ext_attr,dir_index,filetype,sparse_super,large_file,\
    extent,huge_file,flex_bg,metadata_csum,64bit,dir_nlink,extra_isize";

/// Changed when the same packages make another disk.
const FORMAT: u32 = 5;

/// What the packages' installation would have written, for root alone and without passwords.
const FILES: [(&str, &str); 13] = [
    (
        "etc/passwd",
        "root:x:0:0:root:/root:/bin/bash\n\
         daemon:x:1:1:daemon:/usr/sbin:/usr/sbin/nologin\n\
         nobody:x:65534:65534:nobody:/nonexistent:/usr/sbin/nologin\n",
    ),
    ("etc/group", "root:x:0:\ndaemon:x:1:\nnogroup:x:65534:\n"),
    (
        "etc/shadow",
        "root:*:20000::::::\ndaemon:*:20000::::::\nnobody:*:20000::::::\n",
    ),
    ("etc/gshadow", "root:*::\ndaemon:*::\nnogroup:*::\n"),
    (
        "etc/nsswitch.conf",
        "passwd: files\ngroup: files\nshadow: files\nhosts: files\n",
    ),
    ("etc/hosts", "127.0.0.1 localhost guest\n::1 localhost\n"),
    ("etc/hostname", "guest\n"),
    ("etc/fstab", ""),
    ("etc/resolv.conf", ""),
    ("etc/pam.d/common-auth", "auth required pam_unix.so\n"),
    ("etc/pam.d/common-account", "account required pam_unix.so\n"),
    (
        "etc/pam.d/common-password",
        "password required pam_unix.so\n",
    ),
    ("etc/pam.d/common-session", "session required pam_unix.so\n"),
];

/// Directories that must be there, and their modes.
const DIRECTORIES: [(&str, u32); 15] = [
    ("dev", 0o755),
    ("etc/pam.d", 0o755),
    ("home", 0o755),
    ("mnt", 0o755),
    ("opt/credwatch", 0o755),
    ("proc", 0o555),
    ("root", 0o700),
    ("run", 0o755),
    ("srv", 0o755),
    ("sys", 0o555),
    ("tmp", 0o1777),
    ("usr/local/bin", 0o755),
    ("var/lib", 0o755),
    ("var/log", 0o755),
    ("var/tmp", 0o1777),
];

/// The disk with the programs: the root of the guest's file system.
///
/// # Errors
/// When the packages are not there, or the disk cannot be made.
pub(super) fn root_disk(cache: &Path) -> Result<PathBuf> {
    let packages = Packages::look()?;
    let wanted = format!("{FORMAT} {ROOT_SIZE}\n{FILES:?}\n{DIRECTORIES:?}\n{packages}");
    let (disk, stamp) = (cache.join("root.ext4"), cache.join("root.stamp"));
    if disk.is_file() && fs::read_to_string(&stamp).is_ok_and(|made| made == wanted) {
        return Ok(disk);
    }

    let staging = cache.join("root");
    fresh_directory(&staging)?;
    for name in ["bin", "lib", "lib32", "lib64", "libx32", "sbin"] {
        let real = PathBuf::from("usr").join(name);
        fs::create_dir_all(staging.join(&real))?;
        std::os::unix::fs::symlink(real, staging.join(name))?;
    }
    let mut files = packages.files()?;
    // No package owns these: links by which `cc` and its like are found, and the index of libraries.
    for entry in fs::read_dir("/etc/alternatives")? {
        files.push(entry?.path().to_string_lossy().into_owned());
    }
    files.extend(["/usr/bin/awk", "/usr/bin/cc", "/etc/ld.so.cache"].map(str::to_owned));
    copy(&files, &staging)?;
    for (name, mode) in DIRECTORIES {
        let directory = staging.join(name);
        fs::create_dir_all(&directory)?;
        fs::set_permissions(&directory, fs::Permissions::from_mode(mode))?;
    }
    for (name, content) in FILES {
        fs::write(staging.join(name), content)?;
    }
    make(&staging, &disk, ROOT_SIZE, "Making the guest's disk")?;
    fs::remove_dir_all(&staging)?;
    fs::write(stamp, wanted)?;
    Ok(disk)
}

/// The disk of a name with what was just built.
///
/// # Errors
/// When the disk cannot be made.
pub(super) fn built_disk(cache: &Path, name: &str, programs: &[(&str, &Path)]) -> Result<PathBuf> {
    let disk = cache.join(format!("{name}.ext4"));
    let stamp = cache.join(format!("{name}.stamp"));
    let mut wanted = String::new();
    for (name, file) in programs {
        let of = fs::metadata(file).with_context(|| format!("no {}", file.display()))?;
        let modified = of.modified()?;
        wanted.push_str(&format!(
            "{name} {} {} {modified:?}\n",
            file.display(),
            of.len()
        ));
    }
    if disk.is_file() && fs::read_to_string(&stamp).is_ok_and(|made| made == wanted) {
        return Ok(disk);
    }
    let staging = cache.join(name);
    fresh_directory(&staging)?;
    for (name, file) in programs {
        fs::copy(file, staging.join(name))?;
    }
    make(
        &staging,
        &disk,
        BUILT_SIZE,
        "Making the disk of what was built",
    )?;
    fs::remove_dir_all(&staging)?;
    fs::write(stamp, wanted)?;
    Ok(disk)
}

fn fresh_directory(directory: &Path) -> Result<()> {
    if directory.exists() {
        fs::remove_dir_all(directory)?;
    }
    Ok(fs::create_dir_all(directory)?)
}

/// Copies files of this machine, as they are, below a directory.
fn copy(files: &[String], to: &Path) -> Result<()> {
    let mut pack = Command::new("tar")
        .args(["--create", "--no-recursion", "--ignore-failed-read"])
        .args(["--directory=/", "--null", "--files-from=-"])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .spawn()?;
    let mut names = pack.stdin.take().context("tar has no input")?;
    let packed = pack.stdout.take().context("tar has no output")?;
    let list: Vec<u8> = files
        .iter()
        .flat_map(|file| [file.trim_start_matches('/').as_bytes(), b"\0"].concat())
        .collect();
    let writer = std::thread::spawn(move || names.write_all(&list));
    // Directories are links here and there; what is there stays what it is.
    let mut unpack = Command::new("tar");
    unpack
        .args([
            "--extract",
            "--preserve-permissions",
            "--keep-directory-symlink",
        ])
        .arg("--directory")
        .arg(to)
        .stdin(packed);
    let status = unpack.status()?;
    // Files that were deleted here, such as documentation, are missing: its exit code means nothing.
    pack.wait()?;
    ensure!(status.success(), "tar failed ({status})");
    match writer.join() {
        Ok(written) => Ok(written?),
        Err(_) => anyhow::bail!("the list of files could not be written"),
    }
}

/// Makes a disk of a directory's files, which this user owns and root will.
fn make(from: &Path, disk: &Path, size: &str, step: &str) -> Result<()> {
    let part = disk.with_extension("part");
    let mke2fs = mke2fs(from, &part, size)?;
    // In a namespace where this user is root, the files are root's in the disk.
    let mut command = match process::is_root() {
        true => mke2fs,
        false => {
            let mut unshare = Command::new("unshare");
            unshare.arg("--map-root-user").arg(mke2fs.get_program());
            unshare
                .args(mke2fs.get_args())
                .env("MKE2FS_CONFIG", "/dev/null");
            unshare
        }
    };
    process::run_quietly(step, &mut command)?;
    Ok(fs::rename(part, disk)?)
}

/// The command that makes a disk of a directory's files.
///
/// # Errors
/// When there is no mke2fs, or a former disk cannot be removed.
pub(super) fn mke2fs(from: &Path, disk: &Path, size: &str) -> Result<Command> {
    if disk.exists() {
        fs::remove_file(disk)?;
    }
    let mut command = Command::new(process::which("mke2fs").context("mke2fs is missing")?);
    command
        // Not what this machine's configuration says: it may be newer than the kernels.
        .env("MKE2FS_CONFIG", "/dev/null")
        .args(["-q", "-O", FEATURES, "-I", "256", "-b", "4096"])
        .args(["-m", "0", "-E", "root_owner=0:0"])
        .arg("-d")
        .arg(from)
        .arg(disk)
        .arg(size);
    Ok(command)
}
