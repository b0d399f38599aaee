//! A cluster without anything but its API: etcd and kube-apiserver.

use std::collections::BTreeMap;
use std::fs;
use std::net::{IpAddr, SocketAddr, TcpListener};
use std::path::{Path, PathBuf};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::thread;

use anyhow::{Context, Result, ensure};
use nix::sys::signal::Signal;
use serde_json::{Value, json};

use super::apiserver_build::{Binaries, ensure_apiserver};
use super::client::ApiClient;
use super::kinds::{Kind, path_of};
use super::mgmt::Mgmt;
use super::users::{self, ADMIN, TWINTOR, User};
use crate::netns::Netns;
use crate::process::{Daemon, ProcId, Recipe, read_lossy};
use crate::state::{self, Record};
use crate::wait::{self, PATIENCE};

/// Where the API server of a cluster of its own listens.
const PORT: u16 = 6443;

/// The account and the role of the agent, as the project ships them.
const ROLE: &str = "deploy/manifests/rbac.yaml";

const ETCD: &str = "etcd";
const APISERVER: &str = "kube-apiserver";

/// What to start, and where.
#[derive(Debug, Default)]
pub struct ClusterBuilder {
    place: Option<(Netns, SocketAddr)>,
    users: Vec<User>,
    args: Vec<String>,
}

/// A running cluster. Dropping it takes it down.
#[derive(Debug)]
pub struct Cluster {
    record: Record,
    dir: PathBuf,
    netns: Netns,
    mgmt: Option<Mgmt>,
    address: SocketAddr,
    etcd_port: u16,
    binaries: Binaries,
    users: Vec<User>,
    daemons: Mutex<BTreeMap<&'static str, Daemon>>,
}

impl ClusterBuilder {
    /// Runs in this namespace and listens on this address (port 0: on a free one) instead of in a namespace of its own.
    #[must_use]
    pub fn place(mut self, netns: &Netns, address: SocketAddr) -> Self {
        self.place = Some((netns.clone(), address));
        self
    }

    /// Knows one more user. Without a role they may do nothing.
    #[must_use]
    pub fn user(mut self, user: User) -> Self {
        self.users.push(user);
        self
    }

    /// Adds an argument of kube-apiserver.
    #[must_use]
    pub fn arg(mut self, arg: &str) -> Self {
        self.args.push(arg.to_owned());
        self
    }

    /// Starts it, and waits until the kinds of Kube-OVN are served.
    pub fn start(self) -> Result<Cluster> {
        let binaries = ensure_apiserver(&mut super::tell)?;
        let id = std::iter::repeat_with(fastrand::lowercase)
            .take(5)
            .collect::<String>();
        let own = self.place.is_none().then(|| format!("tl{id}-mgmt"));
        let record = Record {
            topology: "kube".to_owned(),
            owner: Some(ProcId::own()),
            namespaces: own.iter().cloned().collect(),
            run_dirs: vec![Path::new("/run/twintor-lab").join(&id)],
            id,
        };
        let dir = record.claim()?;
        let (netns, address) = match (self.place, own) {
            (Some(place), _) => place,
            (None, own) => (
                Netns::named(own.unwrap_or_default()),
                SocketAddr::from((Mgmt::server(), PORT)),
            ),
        };
        let users = User::known().into_iter().chain(self.users).collect();
        let mut cluster = Cluster {
            mgmt: None,
            dir,
            netns,
            address,
            etcd_port: 0,
            binaries,
            users,
            daemons: Mutex::default(),
            record,
        };
        cluster.boot(self.args).context("start a cluster")?;
        Ok(cluster)
    }
}

impl Cluster {
    /// Starts a cluster in a namespace of its own, to which nodes can be wired.
    pub fn start() -> Result<Self> {
        Self::builder().start()
    }

    /// Starts a cluster in a namespace that exists, listening on this address; port 0 takes a free one.
    pub fn start_in(netns: &Netns, address: SocketAddr) -> Result<Self> {
        Self::builder().place(netns, address).start()
    }

    /// Starts describing a cluster.
    pub fn builder() -> ClusterBuilder {
        ClusterBuilder::default()
    }

    /// Where the API server listens.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// The namespace it runs in.
    pub fn netns(&self) -> &Netns {
        &self.netns
    }

    /// Its directory.
    pub fn dir(&self) -> &Path {
        &self.dir
    }

    /// Gives a node an interface on the management network, [`INTERFACE`](super::INTERFACE), and returns its address.
    pub fn wire(&self, node: &Netns) -> Result<IpAddr> {
        self.mgmt()?.wire(node).map(IpAddr::V4)
    }

    /// Cuts a node off the API without anybody losing carrier.
    pub fn cut(&self, node: &Netns) -> Result<()> {
        self.mgmt()?.cut(node)
    }

    /// Connects a node again.
    pub fn heal(&self, node: &Netns) -> Result<()> {
        self.mgmt()?.heal(node)
    }

    /// Writes a kubeconfig for a user and returns its path.
    pub fn kubeconfig(&self, user: &str) -> Result<PathBuf> {
        let file = self.dir.join("kubeconfig").join(user.replace(':', "-"));
        let server = format!("https://{}", self.address);
        users::write_kubeconfig(&file, &server, Some(&self.authority()), self.user(user)?)
    }

    /// What a pod of this account has mounted: a directory with its token, the certificates and the namespace.
    pub fn account_dir(&self, user: &str) -> Result<PathBuf> {
        let dir = self.dir.join("account").join(user.replace(':', "-"));
        fs::create_dir_all(&dir)?;
        fs::copy(self.authority(), dir.join("ca.crt"))?;
        fs::write(dir.join("namespace"), user.split(':').nth(2).unwrap_or("default"))?;
        fs::write(dir.join("token"), &self.user(user)?.token)?;
        Ok(dir)
    }

    /// The environment of every pod.
    pub fn pod_env(&self) -> Vec<(String, String)> {
        vec![
            (
                "KUBERNETES_SERVICE_HOST".to_owned(),
                self.address.ip().to_string(),
            ),
            (
                "KUBERNETES_SERVICE_PORT".to_owned(),
                self.address.port().to_string(),
            ),
        ]
    }

    /// A token of a service account that exists, as kubelet gets it for a pod. It ends with the account.
    pub fn request_token(&self, namespace: &str, account: &str) -> Result<String> {
        let path = format!("/api/v1/namespaces/{namespace}/serviceaccounts/{account}/token");
        let request = json!({ "apiVersion": "authentication.k8s.io/v1", "kind": "TokenRequest", "spec": {} });
        let reply = self.client()?.post(&path, &request)?.ok();
        let reply = reply.with_context(|| format!("request a token of {account}"))?;
        let token = reply["status"]["token"]
            .as_str()
            .context("no token in the answer")?;
        Ok(token.to_owned())
    }

    /// A client that may do everything, asking from the cluster's own namespace.
    pub fn client(&self) -> Result<ApiClient> {
        self.client_as(ADMIN)
    }

    /// A client of this user, asking from the cluster's own namespace.
    pub fn client_as(&self, user: &str) -> Result<ApiClient> {
        let client = ApiClient::tls(self.address, &self.authority())?;
        Ok(client.token(&self.user(user)?.token).from(&self.netns))
    }

    /// Runs kubectl as the administrator and returns what it printed.
    pub fn kubectl(&self, args: &[&str]) -> Result<String> {
        self.kubectl_as(ADMIN, args)
    }

    /// Runs kubectl as this user.
    pub fn kubectl_as(&self, user: &str, args: &[&str]) -> Result<String> {
        let mut command = self.netns.command(&self.binaries.kubectl.to_string_lossy());
        command
            .arg("--kubeconfig")
            .arg(self.kubeconfig(user)?)
            // Every cluster has the same address, so the user's cache would mix them up.
            .arg("--cache-dir")
            .arg(self.dir.join("kubectl-cache"))
            .args(args);
        crate::netns::run(&mut command)
    }

    /// Applies objects given as YAML, as `kubectl apply` does.
    pub fn apply(&self, yaml: &str) -> Result<()> {
        let file = self.dir.join(format!("apply-{}.yaml", fastrand::u32(..)));
        fs::write(&file, yaml).with_context(|| format!("write {}", file.display()))?;
        self.kubectl(&["apply", "-f", &file.to_string_lossy()]).map(drop)
    }

    /// Gives [`TWINTOR`] the role that the project ships, and waits until it is in force.
    pub fn apply_role(&self) -> Result<()> {
        let file = state::workspace()?.join(ROLE);
        let text = fs::read_to_string(&file).with_context(|| format!("read {}", file.display()))?;
        self.apply(&text)?;
        let client = self.client_as(TWINTOR)?;
        wait::until_true("the role is in force", PATIENCE, || {
            Ok(client.get("/api/v1/pods?limit=1")?.status == 200)
        })
    }

    /// Creates an object with its status, which takes a second request as it does for a controller.
    pub fn create(&self, object: &Value) -> Result<()> {
        let path = path_of(object)?;
        let collection = path.rsplit_once('/').context("a path without an end")?.0;
        self.client()?
            .post(collection, object)?
            .ok()
            .with_context(|| format!("create {path}"))?;
        let Some(status) = object.get("status") else {
            return Ok(());
        };
        self.set_status_at(&path, status)
    }

    /// Changes the status of an object by a merge patch. The namespace is ignored where there is none.
    pub fn set_status(&self, kind: &str, namespace: &str, name: &str, status: &Value) -> Result<()> {
        self.set_status_at(&Kind::named(kind)?.path(namespace, name), status)
    }

    /// Sets or, without a value, removes an annotation.
    pub fn annotate(
        &self,
        kind: &str,
        namespace: &str,
        name: &str,
        key: &str,
        value: Option<&str>,
    ) -> Result<()> {
        let path = Kind::named(kind)?.path(namespace, name);
        let patch = json!({ "metadata": { "annotations": { key: value } } });
        let reply = self.client()?.patch(&path, &patch)?;
        reply.ok().with_context(|| format!("annotate {path}")).map(drop)
    }

    /// Deletes an object at once.
    pub fn delete(&self, kind: &str, namespace: &str, name: &str) -> Result<()> {
        let path = Kind::named(kind)?.path(namespace, name);
        let reply = self.client()?.delete(&path)?;
        reply.ok().with_context(|| format!("delete {path}")).map(drop)
    }

    /// Kills the API server.
    pub fn kill_api(&self) -> Result<()> {
        self.with_daemon(APISERVER, |daemon| daemon.stop(Signal::SIGKILL))
    }

    /// Starts a killed API server again and waits until it is ready.
    pub fn start_api(&self) -> Result<()> {
        self.start_again(APISERVER)?;
        self.wait_ready()
    }

    /// Kills the API server and starts it again at once.
    pub fn restart_api(&self) -> Result<()> {
        self.kill_api()?;
        self.start_api()
    }

    /// Stops the API server without ending it: its connections stay open, new ones are accepted, nothing is answered.
    pub fn freeze_api(&self) -> Result<()> {
        self.with_daemon(APISERVER, |daemon| daemon.signal(Signal::SIGSTOP))
    }

    /// Lets a frozen API server go on.
    pub fn thaw_api(&self) -> Result<()> {
        self.with_daemon(APISERVER, |daemon| daemon.signal(Signal::SIGCONT))
    }

    /// Kills the store: the API server still accepts connections, and answers with errors after a while.
    pub fn kill_etcd(&self) -> Result<()> {
        self.with_daemon(ETCD, |daemon| daemon.stop(Signal::SIGKILL))
    }

    /// Starts a killed store again and waits until the API server is ready.
    pub fn start_etcd(&self) -> Result<()> {
        self.start_again(ETCD)?;
        self.wait_ready()
    }

    /// What the API server has printed so far.
    pub fn api_log(&self) -> String {
        read_lossy(&self.log_path(APISERVER))
    }

    /// Waits until the API server says that it is ready.
    pub fn wait_ready(&self) -> Result<()> {
        let ready = wait::until_true("the API server is ready", PATIENCE, || {
            let running = self.with_daemon(APISERVER, |daemon| Ok(daemon.running()))?;
            Ok(!running || self.client()?.get("/readyz")?.status == 200)
        });
        let running = self.with_daemon(APISERVER, |daemon| Ok(daemon.running()))?;
        ensure!(running, "kube-apiserver ended: {}", last_lines(&self.api_log()));
        ready.with_context(|| last_lines(&self.api_log()))
    }

    /// Where the store listens, in the cluster's namespace.
    pub(super) fn etcd_address(&self) -> SocketAddr {
        SocketAddr::from(([127, 0, 0, 1], self.etcd_port))
    }

    fn boot(&mut self, args: Vec<String>) -> Result<()> {
        if self.record.namespaces.iter().any(|own| own == self.netns.name()) {
            self.mgmt = Some(Mgmt::create(&self.netns)?);
        }
        if self.address.port() == 0 {
            self.address.set_port(self.free_port(self.address.ip())?);
        }
        let local = IpAddr::from([127, 0, 0, 1]);
        self.etcd_port = self.free_port(local)?;
        self.start_etcd_first(self.free_port(local)?)?;
        self.start_api_first(args)?;
        self.wait_ready()?;
        self.serve_kinds()
    }

    fn start_etcd_first(&self, peer_port: u16) -> Result<()> {
        let run_dir = self.record.run_dirs.first().context("no run directory")?;
        fs::create_dir_all(run_dir)?;
        let client = format!("http://{}", self.etcd_address());
        let peer = format!("http://127.0.0.1:{peer_port}");
        let args = [
            "--name=lab".to_owned(),
            format!("--data-dir={}", run_dir.join("etcd").display()),
            format!("--listen-client-urls={client}"),
            format!("--advertise-client-urls={client}"),
            format!("--listen-peer-urls={peer}"),
            format!("--initial-advertise-peer-urls={peer}"),
            format!("--initial-cluster=lab={peer}"),
            // Thousands of pods go in with a few transactions.
            "--max-txn-ops=4096".to_owned(),
            "--max-request-bytes=33554432".to_owned(),
            "--quota-backend-bytes=8589934592".to_owned(),
            "--logger=zap".to_owned(),
            "--log-level=warn".to_owned(),
        ];
        self.insert(ETCD, self.recipe(ETCD, &self.binaries.etcd, args.into()))
    }

    fn start_api_first(&self, more: Vec<String>) -> Result<()> {
        let tokens = self.dir.join("tokens.csv");
        fs::write(&tokens, users::token_file(&self.users))?;
        let certs = self.dir.join("certs");
        // The server makes a key for its certificate when it finds none. One key is enough for everything here.
        let key = certs.join("apiserver.key");
        let mut args = vec![
            format!("--etcd-servers=http://{}", self.etcd_address()),
            format!("--bind-address={}", self.address.ip()),
            format!("--advertise-address={}", self.address.ip()),
            format!("--secure-port={}", self.address.port()),
            format!("--cert-dir={}", certs.display()),
            format!("--token-auth-file={}", tokens.display()),
            "--authorization-mode=RBAC".to_owned(),
            "--disable-admission-plugins=ServiceAccount".to_owned(),
            "--service-account-issuer=https://kubernetes.default.svc".to_owned(),
            format!("--service-account-key-file={}", key.display()),
            format!("--service-account-signing-key-file={}", key.display()),
            "--service-cluster-ip-range=10.96.0.0/16,fd00:10:96::/112".to_owned(),
            "--allow-privileged=true".to_owned(),
        ];
        let version =
            crate::netns::run(std::process::Command::new(&self.binaries.apiserver).arg("--version"))?;
        if version.contains("v1.20.") {
            args.push("--feature-gates=IPv6DualStack=true".to_owned());
        }
        args.extend(more);
        self.insert(APISERVER, self.recipe(APISERVER, &self.binaries.apiserver, args))
    }

    /// Creates the definitions, and waits for the kinds and for the namespaces that the server makes itself.
    fn serve_kinds(&self) -> Result<()> {
        let client = self.client()?;
        let mut wanted = vec![
            "/api/v1/namespaces/default".to_owned(),
            "/api/v1/namespaces/kube-system".to_owned(),
        ];
        for definition in definitions()? {
            let name = definition["metadata"]["name"].as_str().unwrap_or_default();
            client
                .post(
                    "/apis/apiextensions.k8s.io/v1/customresourcedefinitions",
                    &definition,
                )?
                .ok()
                .with_context(|| format!("define {name}"))?;
            let (group, plural) = (
                &definition["spec"]["group"],
                &definition["spec"]["names"]["plural"],
            );
            for version in definition["spec"]["versions"].as_array().into_iter().flatten() {
                let part = |value: &Value| value.as_str().unwrap_or_default().to_owned();
                wanted.push(format!(
                    "/apis/{}/{}/{}",
                    part(group),
                    part(&version["name"]),
                    part(plural)
                ));
            }
        }
        for path in wanted {
            wait::until_true(&format!("{path} is served"), PATIENCE, || {
                Ok(client.get(&path)?.status == 200)
            })?;
        }
        Ok(())
    }

    fn set_status_at(&self, path: &str, status: &Value) -> Result<()> {
        let patch = json!({ "status": status });
        let reply = self.client()?.patch(&format!("{path}/status"), &patch)?;
        reply
            .ok()
            .with_context(|| format!("set the status of {path}"))
            .map(drop)
    }

    fn user(&self, name: &str) -> Result<&User> {
        let user = self.users.iter().find(|user| user.name == name);
        user.with_context(|| format!("the cluster knows no {name}"))
    }

    fn mgmt(&self) -> Result<&Mgmt> {
        let mgmt = self.mgmt.as_ref();
        mgmt.context("the cluster runs in a namespace of somebody else, who wires it")
    }

    /// The server's own certificate, followed by the one that signed it.
    fn authority(&self) -> PathBuf {
        self.dir.join("certs/apiserver.crt")
    }

    fn free_port(&self, address: IpAddr) -> Result<u16> {
        let probe = || Ok(TcpListener::bind((address, 0))?.local_addr()?.port());
        self.netns.enter(probe).context("find a free port")
    }

    fn recipe(&self, name: &str, program: &Path, args: Vec<String>) -> Recipe {
        Recipe {
            netns: self.netns.clone(),
            program: program.to_string_lossy().into_owned(),
            args,
            env: Vec::new(),
            log: self.log_path(name),
        }
    }

    fn log_path(&self, name: &str) -> PathBuf {
        self.dir.join("log").join(format!("{name}.log"))
    }

    fn start_again(&self, name: &'static str) -> Result<()> {
        let recipe = self.with_daemon(name, |daemon| Ok(daemon.recipe().clone()))?;
        self.insert(name, recipe)
    }

    fn insert(&self, name: &'static str, recipe: Recipe) -> Result<()> {
        let daemon = recipe.start()?;
        if let Some(mut before) = self.daemons().insert(name, daemon) {
            before.stop(Signal::SIGKILL)?;
        }
        Ok(())
    }

    fn with_daemon<T>(&self, name: &str, work: impl FnOnce(&mut Daemon) -> Result<T>) -> Result<T> {
        let mut daemons = self.daemons();
        let daemon = daemons
            .get_mut(name)
            .with_context(|| format!("{name} was not started"))?;
        work(daemon)
    }

    fn daemons(&self) -> MutexGuard<'_, BTreeMap<&'static str, Daemon>> {
        self.daemons.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for Cluster {
    fn drop(&mut self) {
        for daemon in self.daemons().values_mut() {
            let _ = daemon.stop(Signal::SIGKILL);
        }
        if thread::panicking()
            && let Ok(root) = state::root()
        {
            let kept = root.join(format!("failed-{}", self.record.id));
            if fs::rename(self.dir.join("log"), &kept).is_ok() {
                super::tell(&format!("the cluster's logs are kept in {}", kept.display()));
            }
        }
        if let Err(error) = self.record.remove() {
            super::tell(&format!("taking down cluster {}: {error:#}", self.record.id));
        }
    }
}

/// The definitions of the lab, and those that the project ships.
fn definitions() -> Result<Vec<Value>> {
    let mut all = Vec::new();
    for dir in ["labs/kube/crds", "deploy/crds"] {
        let Ok(entries) = fs::read_dir(state::workspace()?.join(dir)) else {
            continue;
        };
        for entry in entries {
            let path = entry?.path();
            let text = fs::read_to_string(&path)?;
            let objects = serde_saphyr::from_multiple::<Value>(&text);
            all.extend(objects.with_context(|| format!("parse {}", path.display()))?);
        }
    }
    ensure!(!all.is_empty(), "no definitions in labs/kube/crds");
    Ok(all)
}

fn last_lines(log: &str) -> String {
    let lines = log.lines().collect::<Vec<_>>();
    lines[lines.len().saturating_sub(5)..].join("\n")
}
