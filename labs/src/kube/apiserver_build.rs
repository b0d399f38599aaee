//! Where etcd, kube-apiserver and kubectl come from.
//!
//! No distribution that the lab runs on packages kube-apiserver as a binary, but Debian carries its source. It is built
//! once, with the compiler of its time, and kept outside the repository.

use std::env;
use std::fs::{self, File};
use std::io::ErrorKind;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Instant;

use anyhow::{Context, Result, ensure};
use nix::fcntl::{Flock, FlockArg};

use crate::netns::run;
use crate::setup;

/// The version that is built. Debian's package of bookworm calls itself 1.20.5, but holds this one.
const VERSION: &str = "1.20.2";

/// Counts the changes of the recipe, so that what an older one built is not used.
const RECIPE: u32 = 2;

const SUITE: &str = "bookworm";
const KEYRING: &str = "/usr/share/keyrings/debian-archive-keyring.gpg";
/// The compiler.
pub(crate) const GO: &str = "/usr/lib/go-1.19/bin/go";
const ELSEWHERE: &str = "point KUBEBUILDER_ASSETS to a directory with etcd, kube-apiserver and kubectl";

/// The programs that make a cluster.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Binaries {
    /// The store.
    pub etcd: PathBuf,
    /// The API server.
    pub apiserver: PathBuf,
    /// The client.
    pub kubectl: PathBuf,
}

/// Finds the programs: those of `$KUBEBUILDER_ASSETS` where it is set, else etcd and kubectl of the distribution and a
/// kube-apiserver built from source. The build takes some minutes and happens once; `say` hears what takes long.
pub fn ensure_apiserver(say: &mut dyn FnMut(&str)) -> Result<Binaries> {
    if let Some(dir) = env::var_os("KUBEBUILDER_ASSETS").filter(|dir| !dir.is_empty()) {
        return assets(Path::new(&dir));
    }
    let mut wanted = vec![("etcd-server", "/usr/bin/etcd")];
    if on_path("kubectl").is_none() {
        wanted.push(("kubernetes-client", "/usr/bin/kubectl"));
    }
    setup::packages(&wanted, ELSEWHERE, say)?;
    Ok(Binaries {
        etcd: PathBuf::from("/usr/bin/etcd"),
        apiserver: built(&cache_dir()?, say)?,
        kubectl: on_path("kubectl").context("no kubectl in PATH")?,
    })
}

fn assets(dir: &Path) -> Result<Binaries> {
    let find = |name: &str| {
        let path = dir.join(name);
        ensure!(
            path.exists(),
            "KUBEBUILDER_ASSETS is set, but {} is not there",
            path.display()
        );
        Ok(path)
    };
    Ok(Binaries {
        etcd: find("etcd")?,
        apiserver: find("kube-apiserver")?,
        kubectl: find("kubectl").or_else(|error| on_path("kubectl").ok_or(error))?,
    })
}

/// Where things are kept that no lab should have to make twice: `$TWINTOR_LAB_CACHE`, else the user's cache directory.
pub(crate) fn cache_dir() -> Result<PathBuf> {
    let set = |name: &str| {
        env::var_os(name)
            .filter(|value| !value.is_empty())
            .map(PathBuf::from)
    };
    if let Some(dir) = set("TWINTOR_LAB_CACHE") {
        return Ok(dir);
    }
    let caches = set("XDG_CACHE_HOME").or_else(|| Some(set("HOME")?.join(".cache")));
    let caches = caches.context("neither TWINTOR_LAB_CACHE nor HOME says where to keep kube-apiserver")?;
    Ok(caches.join("twintor-lab"))
}

fn on_path(program: &str) -> Option<PathBuf> {
    let path = env::var_os("PATH")?;
    env::split_paths(&path)
        .map(|dir| dir.join(program))
        .find(|file| file.is_file())
}

fn built(cache: &Path, say: &mut dyn FnMut(&str)) -> Result<PathBuf> {
    let binary = cache.join(format!("kube-apiserver-{VERSION}-{RECIPE}"));
    if works(&binary) {
        return Ok(binary);
    }
    fs::create_dir_all(cache).with_context(|| format!("make {}", cache.display()))?;
    let _lock = lock(&cache.join("kube-apiserver.lock"), say)?;
    // Whoever held the lock before may have built it.
    if works(&binary) {
        return Ok(binary);
    }
    let dir = cache.join("kube-apiserver.build");
    clear(&dir)?;
    let start = Instant::now();
    build(&dir, &binary, say).with_context(|| format!("build kube-apiserver {VERSION}; or {ELSEWHERE}"))?;
    clear(&dir)?;
    say(&format!(
        "built kube-apiserver {VERSION} in {} s",
        start.elapsed().as_secs()
    ));
    Ok(binary)
}

fn works(binary: &Path) -> bool {
    let version = binary
        .exists()
        .then(|| run(Command::new(binary).arg("--version")));
    matches!(version, Some(Ok(said)) if said.trim() == format!("Kubernetes v{VERSION}"))
}

pub(crate) fn lock(path: &Path, say: &mut dyn FnMut(&str)) -> Result<Flock<File>> {
    let file = File::create(path).with_context(|| format!("open {}", path.display()))?;
    let file = match Flock::lock(file, FlockArg::LockExclusiveNonblock) {
        Ok(lock) => return Ok(lock),
        Err((file, _)) => file,
    };
    say("waiting for somebody else who builds the same");
    Flock::lock(file, FlockArg::LockExclusive)
        .map_err(|(_, error)| error)
        .with_context(|| format!("lock {}", path.display()))
}

fn clear(dir: &Path) -> Result<()> {
    match fs::remove_dir_all(dir) {
        Err(error) if error.kind() != ErrorKind::NotFound => {
            Err(error).with_context(|| format!("remove {}", dir.display()))
        }
        Ok(()) | Err(_) => Ok(()),
    }
}

fn build(dir: &Path, binary: &Path, say: &mut dyn FnMut(&str)) -> Result<()> {
    setup::packages(
        &[("dpkg-dev", "/usr/bin/dpkg-source"), ("golang-1.19-go", GO)],
        ELSEWHERE,
        say,
    )?;
    say(&format!(
        "building kube-apiserver {VERSION} from Debian's source (once, some minutes)"
    ));
    let gopath = dir.join("go");
    let tree = gopath.join("src/k8s.io/kubernetes");
    let sources = Sources::open(dir)?;
    sources.unpack("kubernetes", &tree)?;
    // The vendored version reads maps by the layout of an older runtime: the server would die of the first custom resource.
    let reflect2 = tree.join("vendor/github.com/modern-go/reflect2");
    clear(&reflect2)?;
    sources.unpack("golang-github-modern-go-reflect2", &reflect2)?;
    let go = Go { dir, gopath, tree };
    go.generate_openapi()?;
    let fresh = dir.join("kube-apiserver");
    go.build("./cmd/kube-apiserver", &fresh)?;
    ensure!(works(&fresh), "what was built does not say that it is {VERSION}");
    fs::rename(&fresh, binary).with_context(|| format!("move it to {}", binary.display()))
}

/// Debian's source packages, fetched with lists of apt's own, so that the machine's list of sources stays as it is.
struct Sources<'a> {
    dir: &'a Path,
}

impl<'a> Sources<'a> {
    fn open(dir: &'a Path) -> Result<Self> {
        let sources = Self { dir };
        for made in [sources.parts(), sources.lists(), sources.cache()] {
            fs::create_dir_all(&made).with_context(|| format!("make {}", made.display()))?;
        }
        fs::write(sources.parts().join("source.sources"), source_list()?)?;
        sources.apt(dir, &["update"])?;
        Ok(sources)
    }

    /// Fetches a package and unpacks it, patched, into a directory that does not exist.
    fn unpack(&self, package: &str, into: &Path) -> Result<()> {
        let fetched = self.dir.join("fetched").join(package);
        let above = into.parent().context("nowhere to unpack to")?;
        for made in [&fetched, above] {
            fs::create_dir_all(made).with_context(|| format!("make {}", made.display()))?;
        }
        self.apt(&fetched, &["source", "--download-only", package])?;
        let dsc = fs::read_dir(&fetched)?
            .filter_map(|entry| Some(entry.ok()?.path()))
            .find(|path| path.extension().is_some_and(|extension| extension == "dsc"));
        let dsc = dsc.with_context(|| format!("apt-get fetched no description of {package}"))?;
        run(Command::new("dpkg-source")
            .args(["--no-check", "--extract"])
            .args([&dsc, into]))
        .map(drop)
    }

    fn apt(&self, dir: &Path, words: &[&str]) -> Result<String> {
        let mut command = Command::new("apt-get");
        command.current_dir(dir).arg("-qq");
        for (key, value) in [
            ("Dir::Etc::sourcelist", PathBuf::from("/dev/null")),
            ("Dir::Etc::sourceparts", self.parts()),
            ("Dir::State::lists", self.lists()),
            ("Dir::Cache", self.cache()),
            // The directory belongs to root, and may be one that nobody else may enter.
            ("APT::Sandbox::User", PathBuf::from("root")),
        ] {
            command.arg("-o").arg(format!("{key}={}", value.display()));
        }
        run(command.args(words))
    }

    fn parts(&self) -> PathBuf {
        self.dir.join("apt/parts")
    }

    fn lists(&self) -> PathBuf {
        self.dir.join("apt/lists")
    }

    fn cache(&self) -> PathBuf {
        self.dir.join("apt/cache")
    }
}

/// The machine's own mirror of the suite, asked for sources.
fn source_list() -> Result<String> {
    let uri = match mirror()? {
        Some(uri) => uri,
        // On a fresh machine apt does not know yet what its mirrors carry.
        None => {
            run(Command::new("apt-get").args(["-qq", "update"]))?;
            mirror()?
                .with_context(|| format!("the machine has no Debian {SUITE} among its package sources"))?
        }
    };
    let signed = match Path::new(KEYRING).exists() {
        true => format!("Signed-By: {KEYRING}\n"),
        false => String::new(),
    };
    Ok(format!(
        "Types: deb-src\nURIs: {uri}\nSuites: {SUITE}\nComponents: main\n{signed}"
    ))
}

fn mirror() -> Result<Option<String>> {
    let said = run(Command::new("apt-get").args([
        "indextargets",
        "--format",
        "$(REPO_URI)",
        "Created-By: Packages",
        "Label: Debian",
        &format!("Codename: {SUITE}"),
        "Component: main",
    ]))?;
    Ok(said.lines().next().map(str::to_owned))
}

struct Go<'a> {
    dir: &'a Path,
    gopath: PathBuf,
    tree: PathBuf,
}

impl Go<'_> {
    fn build(&self, package: &str, output: &Path) -> Result<()> {
        let package_path = "k8s.io/kubernetes/vendor/k8s.io/component-base/version";
        let version = format!(
            "-s -w -X {package_path}.gitVersion=v{VERSION} -X {package_path}.gitMajor=1 -X {package_path}.gitMinor=20"
        );
        let mut command = self.nice(Path::new(GO));
        command
            .args(["build", "-ldflags", &version, "-o"])
            .arg(output)
            .arg(package);
        run(&mut command).map(drop)
    }

    /// The release tarballs carry every generated file but this one, without which the server does not start.
    fn generate_openapi(&self) -> Result<()> {
        let generator = self.dir.join("openapi-gen");
        self.build("./vendor/k8s.io/kube-openapi/cmd/openapi-gen", &generator)?;
        let mut tagged = Vec::new();
        for root in ["cmd", "pkg", "plugin", "vendor/k8s.io"] {
            find_tagged(&self.tree.join(root), &mut tagged)?;
        }
        tagged.sort();
        let imports = tagged.iter().map(|dir| self.import_path(dir));
        let imports = imports.collect::<Result<Vec<_>>>()?;
        run(self
            .nice(&generator)
            .args(["--go-header-file", "hack/boilerplate/boilerplate.generatego.txt"])
            .args(["--output-file-base", "zz_generated.openapi"])
            .args(["--output-package", "k8s.io/kubernetes/pkg/generated/openapi"])
            .arg("--output-base")
            .arg(self.gopath.join("src"))
            .arg("--report-filename")
            .arg(self.dir.join("violations"))
            .args(["--input-dirs", &imports.join(",")]))
        .map(drop)
    }

    fn import_path(&self, dir: &Path) -> Result<String> {
        let inside = dir.strip_prefix(&self.tree)?;
        let text = inside.to_str().context("a path that is not text")?;
        let vendored = text.strip_prefix("vendor/").map(str::to_owned);
        Ok(vendored.unwrap_or_else(|| format!("k8s.io/kubernetes/{text}")))
    }

    fn nice(&self, program: &Path) -> Command {
        let mut command = Command::new("nice");
        command
            .arg(program)
            .current_dir(&self.tree)
            .env_remove("GOFLAGS")
            .env_remove("GOROOT")
            .env("GOPATH", &self.gopath)
            .env("GOCACHE", self.dir.join("gocache"))
            .env("GO111MODULE", "off")
            .env("CGO_ENABLED", "0");
        command
    }
}

/// Collects the directories that have a Go file with the tag. The vendored directories are links into the same tree.
fn find_tagged(dir: &Path, found: &mut Vec<PathBuf>) -> Result<()> {
    let mut tagged = false;
    for entry in fs::read_dir(dir).with_context(|| format!("read {}", dir.display()))? {
        let path = entry?.path();
        if path.is_dir() {
            find_tagged(&path, found)?;
        } else if !tagged && path.extension().is_some_and(|extension| extension == "go") {
            let text = fs::read_to_string(&path).with_context(|| format!("read {}", path.display()))?;
            tagged = text.lines().any(|line| line.starts_with("// +k8s:openapi-gen="));
        }
    }
    if tagged {
        found.push(dir.to_owned());
    }
    Ok(())
}
