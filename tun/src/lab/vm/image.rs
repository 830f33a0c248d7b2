//! The first root of a guest: modules, a busybox, and a script that mounts this machine's own root and goes on there.

use super::kernel::Kernel;
use crate::net::{ErrorKind, NetError, Result, run};
use std::io::{self, Write as _};
use std::path::Path;

/// Modules that are needed before there is a root, in any order; what they depend on comes with them.
const MODULES: [&str; 5] = ["virtio_pci", "virtio_net", "virtio_console", "virtiofs", "overlay"];

/// What the guest does first. Its root is this machine's, under a layer that forgets what is written.
fn script(kernel: &Kernel, command: &str) -> String {
    let Kernel { release, root, .. } = kernel;
    let modules = root.join("lib/modules").join(release);
    format!(
        r#"#!/busybox sh
b=/busybox
$b mount -t proc proc /proc
$b mount -t sysfs sys /sys
$b mount -t devtmpfs dev /dev
for module in $($b cat /modules/order); do $b insmod /modules/$module; done
$b mount -t virtiofs -o ro host /lower && $b mount -t tmpfs -o size=75% upper /upper || exec $b poweroff -f
$b mkdir /upper/new /upper/work
$b mount -t overlay -o lowerdir=/lower,upperdir=/upper/new,workdir=/upper/work all /all || exec $b poweroff -f
for dir in proc sys dev; do $b mkdir -p /all/$dir; $b mount --move /$dir /all/$dir; done
$b mkdir -p /all/run && $b mount -t tmpfs run /all/run
$b mkdir -p /all/usr/lib/modules && $b ln -sfn '{modules}' '/all/usr/lib/modules/{release}'
export PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin HOME=/
exec $b switch_root /all {command}
"#,
        modules = modules.display(),
    )
}

/// The image, for a guest that then runs `command`.
pub(super) fn build(kernel: &Kernel, command: &str) -> Result<Vec<u8>> {
    let cannot = |e: io::Error| NetError::io("cannot put the guest's first root together", &e);
    let mut archive = Archive::default();
    for dir in ["proc", "sys", "dev", "modules", "lower", "upper", "all"] {
        archive.add(dir, 0o040_755, b"").map_err(cannot)?;
    }
    archive
        .add("busybox", 0o100_755, &std::fs::read(&kernel.busybox).map_err(cannot)?)
        .map_err(cannot)?;
    let mut order = String::new();
    for file in modules(kernel)? {
        let (name, bytes) = module(Path::new(&file)).map_err(cannot)?;
        archive.add(&format!("modules/{name}"), 0o100_644, &bytes).map_err(cannot)?;
        order += &format!("{name}\n");
    }
    archive.add("modules/order", 0o100_644, order.as_bytes()).map_err(cannot)?;
    archive.add("init", 0o100_755, script(kernel, command).as_bytes()).map_err(cannot)?;
    archive.finish().map_err(cannot)
}

/// Files to be inserted, in that order.
fn modules(kernel: &Kernel) -> Result<Vec<String>> {
    let root = kernel.root.to_string_lossy();
    let mut files: Vec<String> = Vec::new();
    for module in MODULES {
        let args = ["-d", &root, "-S", &kernel.release, "--show-depends", module];
        // "insmod PATH OPTIONS"; what is built in needs no file, and some packages do not say that it is
        let listed = run("modprobe", &args, None).unwrap_or_default();
        let of_line =
            |line: &str| line.strip_prefix("insmod ")?.split(' ').next().map(str::to_owned);
        for file in listed.lines().filter_map(of_line) {
            if !files.contains(&file) {
                files.push(file);
            }
        }
    }
    if files.is_empty() {
        let what =
            format!("the kernel {} has none of the modules {}", kernel.release, MODULES.join(", "));
        let why = run(
            "modprobe",
            &["-d", &root, "-S", &kernel.release, "--show-depends", "virtiofs"],
            None,
        );
        let why = why.err().map_or_else(String::new, |error| error.because);
        let help = "give a kernel as a distribution builds it, with its modules";
        return Err(NetError::new(ErrorKind::NotFound, what, why, help));
    }
    Ok(files)
}

/// A module's name and its bytes, unpacked.
fn module(file: &Path) -> io::Result<(String, Vec<u8>)> {
    let name = file.file_name().map(|name| name.to_string_lossy().into_owned()).unwrap_or_default();
    let Some((plain, packer)) = [(".xz", "xz"), (".zst", "zstd"), (".gz", "gzip")]
        .iter()
        .find_map(|(end, packer)| Some((name.strip_suffix(end)?.to_owned(), *packer)))
    else {
        return Ok((name, std::fs::read(file)?));
    };
    let output = std::process::Command::new(packer).arg("-dc").arg(file).output()?;
    if output.status.success() {
        Ok((plain, output.stdout))
    } else {
        Err(io::Error::other(format!("{packer} cannot unpack {}", file.display())))
    }
}

/// A cpio archive in the form the kernel reads ("newc").
#[derive(Default)]
struct Archive {
    bytes: Vec<u8>,
    count: u32,
}

impl Archive {
    fn add(&mut self, name: &str, mode: u32, content: &[u8]) -> io::Result<()> {
        self.count += 1;
        let entry = cpio::newc::Builder::new(name).mode(mode).ino(self.count);
        let length = u32::try_from(content.len()).map_err(|_| io::ErrorKind::FileTooLarge)?;
        let mut writer = entry.write(&mut self.bytes, length);
        writer.write_all(content)?;
        writer.finish().map(drop)
    }

    fn finish(mut self) -> io::Result<Vec<u8>> {
        cpio::newc::trailer(&mut self.bytes)?;
        Ok(self.bytes)
    }
}

/// A path that can stand in the guest's script.
pub(super) fn plain(path: &Path) -> Result<String> {
    let text = path.to_string_lossy().into_owned();
    let good = |c: char| c.is_ascii_alphanumeric() || "/._-+".contains(c);
    if text.chars().all(good) {
        return Ok(text);
    }
    Err(NetError::new(
        ErrorKind::Usage,
        format!("the guest cannot use {text:?}"),
        "its path has characters that a shell would read otherwise",
        "install mpuser somewhere else",
    ))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_archive_can_be_read_back() {
        let mut archive = Archive::default();
        archive.add("dir", 0o040_755, b"").unwrap();
        archive.add("dir/file", 0o100_644, b"content").unwrap();
        let bytes = archive.finish().unwrap();
        let mut rest = bytes.as_slice();
        let mut seen = Vec::new();
        loop {
            let mut reader = cpio::newc::Reader::new(rest).unwrap();
            if reader.entry().is_trailer() {
                break;
            }
            let mut content = Vec::new();
            io::Read::read_to_end(&mut reader, &mut content).unwrap();
            seen.push((reader.entry().name().to_owned(), reader.entry().mode(), content));
            rest = reader.finish().unwrap();
        }
        let file = ("dir/file".to_owned(), 0o100_644, b"content".to_vec());
        assert_eq!(seen, [("dir".to_owned(), 0o040_755, Vec::new()), file]);
    }

    #[test]
    fn the_script_names_the_modules_and_the_command() {
        let kernel = Kernel {
            release: "6.1.0-1".to_owned(),
            image: "/cache/6.1/boot/vmlinuz".into(),
            root: "/cache/6.1".into(),
            busybox: "/cache/busybox".into(),
        };
        let script = script(&kernel, "/usr/bin/mpuser lab guest");
        assert!(script.contains("'/cache/6.1/lib/modules/6.1.0-1' '/all/usr/lib/modules/6.1.0-1'"));
        assert!(script.ends_with("exec $b switch_root /all /usr/bin/mpuser lab guest\n"));
        assert!(plain(Path::new("/a b")).is_err() && plain(Path::new("/a'b")).is_err());
    }
}
