//! Kernels to boot: Debian's packages, fetched once and kept, or a directory with one.

use crate::net::{ErrorKind, NetError, Result, run};
use std::path::{Path, PathBuf};

/// Suites that have other kernels than this machine's own sources: 6.12, and what is newest.
const SUITES: [&str; 3] = ["bookworm-backports", "trixie", "trixie-backports"];

/// A kernel that can be booted.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Kernel {
    /// What `uname -r` will say.
    pub(super) release: String,
    /// Its image.
    pub(super) image: PathBuf,
    /// The directory with `lib/modules/RELEASE`.
    pub(super) root: PathBuf,
    /// A static busybox, for the first steps.
    pub(super) busybox: PathBuf,
}

/// The kernel of this series ("6.12"), fetched where it is not there yet, or the one in this directory. `say` hears of
/// what takes long.
pub(super) fn find(which: &str, say: &dyn Fn(&str)) -> Result<Kernel> {
    let cache = cache()?;
    let busybox = busybox(&cache, say)?;
    let root = if which.contains('/') { PathBuf::from(which) } else { cache.join(which) };
    if !which.contains('/') && unpacked(&root).is_none() {
        check_series(which)?;
        fetch(which, &cache, say)?;
    }
    let (release, image) = unpacked(&root).ok_or_else(|| {
        NetError::new(
            ErrorKind::NotFound,
            format!("there is no kernel in {}", root.display()),
            "neither boot/vmlinuz-RELEASE nor lib/modules/RELEASE/vmlinuz is there",
            "give a series as Debian has it (6.1, 6.12), or the directory of an unpacked package",
        )
    })?;
    Ok(Kernel { release, image, root, busybox })
}

fn check_series(which: &str) -> Result<()> {
    let numbers: Vec<&str> = which.split('.').collect();
    let digits = |n: &&str| (1..=3).contains(&n.len()) && n.bytes().all(|b| b.is_ascii_digit());
    if numbers.len() == 2 && numbers.iter().all(digits) {
        return Ok(());
    }
    Err(NetError::new(
        ErrorKind::Usage,
        format!("{which:?} is no series of kernels"),
        "a series is two numbers, like 6.12",
        "for example: mpuser lab up vm --kernel 6.1; a directory is written with a slash",
    ))
}

/// Where fetched kernels are kept.
fn cache() -> Result<PathBuf> {
    let of = |name| std::env::var_os(name).filter(|dir| !dir.is_empty()).map(PathBuf::from);
    let base = of("XDG_CACHE_HOME").or_else(|| of("HOME").map(|home| home.join(".cache")));
    let dir = base.unwrap_or_else(std::env::temp_dir).join("mpuser/vm");
    let cannot = |e: &std::io::Error| NetError::io(format!("cannot make {}", dir.display()), e);
    std::fs::create_dir_all(&dir).map_err(|e| cannot(&e))?;
    Ok(dir)
}

/// Release and image of the kernel unpacked here.
fn unpacked(root: &Path) -> Option<(String, PathBuf)> {
    let entries = std::fs::read_dir(root.join("lib/modules")).ok()?;
    let mut releases: Vec<String> =
        entries.flatten().filter_map(|entry| entry.file_name().into_string().ok()).collect();
    releases.sort();
    let release = releases.pop()?;
    let places = [format!("boot/vmlinuz-{release}"), format!("lib/modules/{release}/vmlinuz")];
    let image = places.iter().map(|place| root.join(place)).find(|path| path.is_file())?;
    Some((release, image))
}

/// A directory of apt's own, so that nothing of the system's changes.
struct Apt(PathBuf);

impl Apt {
    /// With the sources of `suites`, from where the system gets its packages.
    fn with(dir: PathBuf, suites: &[&str]) -> Result<Self> {
        let cannot =
            |e: std::io::Error| NetError::io(format!("cannot write {}", dir.display()), &e);
        for sub in ["lists/partial", "cache/archives/partial", "parts"] {
            std::fs::create_dir_all(dir.join(sub)).map_err(cannot)?;
        }
        let sites = run("apt-get", &["indextargets", "--format", "$(REPO_URI)"], None)?;
        let site = sites.lines().find(|site| site.trim_end_matches('/').ends_with("/debian"));
        let site = site.ok_or_else(|| {
            NetError::new(
                ErrorKind::NotFound,
                "apt has no source for Debian's main archive",
                "kernels are taken from Debian's packages",
                "unpack a kernel package by hand (dpkg-deb -x) and give its directory",
            )
        })?;
        let keys = "/usr/share/keyrings/debian-archive-keyring.gpg";
        let lines =
            suites.iter().map(|suite| format!("deb [signed-by={keys}] {site} {suite} main\n"));
        std::fs::write(dir.join("sources.list"), lines.collect::<String>()).map_err(cannot)?;
        let apt = Self(dir);
        apt.run("apt-get", &["update", "-qq"])?;
        Ok(apt)
    }

    /// What makes apt's programs use it.
    fn options(&self) -> Vec<String> {
        let at = |name: &str, place: &str| format!("-o={name}={}/{place}", self.0.display());
        vec![
            at("Dir::Etc::sourcelist", "sources.list"),
            at("Dir::Etc::sourceparts", "parts"),
            at("Dir::State::lists", "lists"),
            at("Dir::Cache", "cache"),
            "-o=Dir::State::status=/dev/null".to_owned(),
        ]
    }

    fn run(&self, tool: &str, args: &[&str]) -> Result<String> {
        let options = self.options();
        let options = options.iter().map(String::as_str);
        run(tool, &options.chain(args.iter().copied()).collect::<Vec<_>>(), None)
    }
}

/// Names of kernel packages of a series, the newest last.
fn packages(listed: &str) -> Vec<String> {
    let names = listed.lines().filter_map(|line| line.split_whitespace().next());
    let mut names: Vec<String> = names.map(str::to_owned).collect();
    // of the newer ones the kernel is in linux-binary, and linux-image is empty
    names.sort_by_key(|name| (numbers(name), name.starts_with("linux-binary")));
    names
}

/// The numbers in a name, which are what makes a version newer.
fn numbers(name: &str) -> Vec<u64> {
    let name = name.split("-cloud").next().unwrap_or(name);
    name.split(|c: char| !c.is_ascii_digit()).filter_map(|digits| digits.parse().ok()).collect()
}

/// Gets the newest package of the series and unpacks it into the cache.
fn fetch(series: &str, cache: &Path, say: &dyn Fn(&str)) -> Result<()> {
    let pattern = format!("^linux-(image|binary)-{}[.].*-cloud-amd64$", series.replace('.', "[.]"));
    let search = ["search", "--names-only", &pattern];
    let mut source = None;
    let mut names = packages(&run("apt-cache", &search, None)?);
    if names.is_empty() {
        say(&format!("looking for a kernel {series} in {}", SUITES.join(", ")));
        let apt = Apt::with(cache.join("apt"), &SUITES)?;
        names = packages(&apt.run("apt-cache", &search)?);
        source = Some(apt);
    }
    let name = names.pop().ok_or_else(|| {
        NetError::new(
            ErrorKind::NotFound,
            format!("there is no package of a kernel {series}"),
            format!("no package of this machine's sources or of {} is one", SUITES.join(", ")),
            "`apt-get update`, or another series",
        )
    })?;
    say(&format!("fetching {name}"));
    let modules = name.strip_prefix("linux-binary-").map(|rest| format!("linux-modules-{rest}"));
    let wanted: Vec<&str> = std::iter::once(name.as_str()).chain(modules.as_deref()).collect();
    unpack(&wanted, &cache.join(series), source.as_ref())
}

/// Downloads packages and unpacks them into `into`, which is there as a whole or not at all.
fn unpack(packages: &[&str], into: &Path, source: Option<&Apt>) -> Result<()> {
    let new = into.with_extension("new");
    let cannot = |e: std::io::Error| NetError::io(format!("cannot write {}", new.display()), &e);
    let _ = std::fs::remove_dir_all(&new);
    std::fs::create_dir_all(new.join("packages")).map_err(cannot)?;
    let target = new.to_string_lossy().into_owned();
    let packed = format!("{target}/packages");
    // apt-get downloads into the current directory
    let script = "cd \"$1\" && shift && exec \"$@\"";
    let options = source.map(|apt| apt.options()).unwrap_or_default();
    let mut args = vec!["-c", script, "sh", &packed, "apt-get"];
    args.extend(options.iter().map(String::as_str));
    args.extend(["download", "-qq"]);
    args.extend(packages);
    run("sh", &args, None)?;
    for package in std::fs::read_dir(&packed).map_err(cannot)?.flatten() {
        let package = package.path();
        run("dpkg-deb", &["-x", &package.to_string_lossy(), &target], None)?;
    }
    std::fs::remove_dir_all(&packed).map_err(cannot)?;
    if !new.join("lib").exists() && new.join("usr/lib/modules").exists() {
        std::os::unix::fs::symlink("usr/lib", new.join("lib")).map_err(cannot)?;
    }
    if let Some((release, _)) = unpacked(&new) {
        run("depmod", &["-b", &target, &release], None)?;
    }
    let _ = std::fs::remove_dir_all(into);
    std::fs::rename(&new, into).map_err(cannot)
}

/// A busybox that needs no library.
fn busybox(cache: &Path, say: &dyn Fn(&str)) -> Result<PathBuf> {
    let dir = cache.join("busybox");
    let there = || {
        ["bin/busybox", "usr/bin/busybox"].map(|p| dir.join(p)).into_iter().find(|p| p.is_file())
    };
    if there().is_none() {
        say("fetching busybox-static");
        unpack(&["busybox-static"], &dir, None)?;
    }
    there().ok_or_else(|| {
        NetError::new(
            ErrorKind::NotFound,
            "the package busybox-static has no busybox",
            format!("it was unpacked into {}", dir.display()),
            "remove that directory and try again",
        )
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_newest_package_is_last() {
        let listed = "linux-image-6.12.9+deb12-cloud-amd64 - Linux 6.12\n\
                      linux-image-6.12.117+deb12-cloud-amd64 - Linux 6.12\n\
                      linux-image-6.12.90+deb12.1-cloud-amd64 - Linux 6.12\n\
                      linux-image-6.12.90+deb12-cloud-amd64 - Linux 6.12\n";
        let names = packages(listed);
        let ends: Vec<&str> = names.iter().map(|n| n.split('-').nth(2).unwrap()).collect();
        assert_eq!(ends, ["6.12.9+deb12", "6.12.90+deb12", "6.12.90+deb12.1", "6.12.117+deb12"]);
        let listed =
            "linux-binary-7.2.12+deb13-cloud-amd64 - \nlinux-image-7.2.12+deb13-cloud-amd64 - ";
        assert_eq!(packages(listed).pop().unwrap(), "linux-binary-7.2.12+deb13-cloud-amd64");
    }

    #[test]
    fn a_series_is_two_numbers() {
        for good in ["6.1", "6.12", "7.2"] {
            check_series(good).unwrap();
        }
        for bad in ["", "6", "6.1.2", "6.x", "..", "6.", "six.one", "6.1234"] {
            assert_eq!(check_series(bad).unwrap_err().kind, ErrorKind::Usage, "{bad}");
        }
    }
}
