//! Renders Helm charts with a small program in Go, because a template engine that only resembles helm's proves nothing.
//!
//! The program (`labs/helm/main.go`) uses the packages that helm uses, as the distribution has them.

use std::collections::BTreeMap;
use std::fs;
use std::hash::{DefaultHasher, Hash, Hasher};
use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use anyhow::{Context, Result, bail, ensure};
use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::kube::{GO, cache_dir, lock};
use crate::netns::run;
use crate::{setup, state};

const SOURCES: &str = "/usr/share/gocode";

const PACKAGES: [(&str, &str); 4] = [
    ("golang-1.19-go", GO),
    (
        "golang-github-masterminds-sprig-dev",
        "/usr/share/gocode/src/github.com/Masterminds/sprig/functions.go",
    ),
    (
        "golang-k8s-sigs-yaml-dev",
        "/usr/share/gocode/src/sigs.k8s.io/yaml/yaml.go",
    ),
    (
        "golang-github-xeipuuv-gojsonschema-dev",
        "/usr/share/gocode/src/github.com/xeipuuv/gojsonschema/schema.go",
    ),
];

/// What a chart gives: the text of each template by its path (`twintor/templates/rbac.yaml`), or why there is none.
pub type Rendering = Result<BTreeMap<String, String>, String>;

/// A chart, and the program that renders it.
#[derive(Debug)]
pub struct Chart {
    renderer: PathBuf,
    dir: PathBuf,
}

/// How a chart is to be rendered.
#[derive(Debug, Clone, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Request {
    chart: PathBuf,
    release: String,
    namespace: String,
    kube_version: String,
    api_versions: Vec<String>,
    values: Vec<Value>,
}

#[derive(Deserialize)]
struct Answer {
    #[serde(default)]
    files: BTreeMap<String, String>,
    #[serde(default)]
    error: Option<String>,
}

impl Chart {
    /// The chart that the project ships. Installs and builds what renders it; `say` hears what takes long.
    pub fn shipped(say: &mut dyn FnMut(&str)) -> Result<Self> {
        Ok(Self {
            renderer: renderer(say)?,
            dir: state::workspace()?.join("deploy/chart/twintor"),
        })
    }

    /// Its directory.
    pub fn dir(&self) -> &Path {
        &self.dir
    }

    /// A request for release `twintor` in namespace `kube-system` with these values over the chart's own.
    pub fn with(&self, values: Value) -> Request {
        Request {
            chart: self.dir.clone(),
            release: "twintor".to_owned(),
            namespace: "kube-system".to_owned(),
            kube_version: "v1.33.0".to_owned(),
            api_versions: ["v1", "apps/v1", "rbac.authorization.k8s.io/v1"]
                .map(str::to_owned)
                .into(),
            values: vec![values],
        }
    }

    /// Renders, in the order of the requests.
    pub fn render(&self, requests: &[Request]) -> Result<Vec<Rendering>> {
        let mut child = Command::new(&self.renderer)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .with_context(|| format!("start {}", self.renderer.display()))?;
        let mut stdin = child.stdin.take().context("no pipe")?;
        stdin.write_all(&serde_json::to_vec(requests)?)?;
        drop(stdin);
        let output = child.wait_with_output()?;
        ensure!(output.status.success(), "the renderer failed: {}", output.status);
        let answers = serde_json::from_slice::<Vec<Answer>>(&output.stdout)?;
        let renderings = answers.into_iter().map(|answer| match answer.error {
            Some(error) => Err(error),
            None => Ok(answer.files),
        });
        Ok(renderings.collect())
    }

    /// Renders once.
    pub fn render_one(&self, values: Value) -> Result<BTreeMap<String, String>> {
        let rendering = self.render(&[self.with(values)])?.into_iter().next();
        match rendering.context("no answer of the renderer")? {
            Ok(files) => Ok(files),
            Err(error) => bail!("the chart does not render: {error}"),
        }
    }
}

/// The built program; its name tells the source that it was built from.
fn renderer(say: &mut dyn FnMut(&str)) -> Result<PathBuf> {
    let source = state::workspace()?.join("labs/helm/main.go");
    let text = fs::read_to_string(&source).with_context(|| format!("read {}", source.display()))?;
    let mut hasher = DefaultHasher::new();
    text.hash(&mut hasher);
    let cache = cache_dir()?;
    let program = cache.join(format!("chart-renderer-{:016x}", hasher.finish()));
    if program.exists() {
        return Ok(program);
    }
    fs::create_dir_all(&cache).with_context(|| format!("make {}", cache.display()))?;
    let _lock = lock(&cache.join("chart-renderer.lock"), say)?;
    // Whoever held the lock before may have built it.
    if program.exists() {
        return Ok(program);
    }
    setup::packages(
        &PACKAGES,
        "install Go 1.19 and the sources of Masterminds/sprig, sigs.k8s.io/yaml and xeipuuv/gojsonschema under /usr/share/gocode",
        say,
    )?;
    say("building what renders the chart (once)");
    let fresh = cache.join("chart-renderer.new");
    let mut command = Command::new("nice");
    command
        .arg(GO)
        .args(["build", "-o"])
        .args([&fresh, &source])
        .env_remove("GOFLAGS")
        .env_remove("GOROOT")
        .env("GOPATH", SOURCES)
        .env("GOCACHE", cache.join("chart-renderer.gocache"))
        .env("GO111MODULE", "off")
        .env("CGO_ENABLED", "0");
    run(&mut command).context("build what renders the chart")?;
    fs::rename(&fresh, &program).with_context(|| format!("move it to {}", program.display()))?;
    fs::remove_dir_all(cache.join("chart-renderer.gocache"))?;
    Ok(program)
}
