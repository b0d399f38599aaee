use kube::config::{InClusterError, KubeConfigOptions, Kubeconfig, KubeconfigError};
use kube::{Client, Config};
use std::path::{Path, PathBuf};
use std::time::Duration;

/// How long a connection may take to come about, TLS included.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(5);

/// Why there is no client. That the server does not answer is none of these: it may come.
#[derive(Debug, thiserror::Error)]
pub enum ConnectError {
    /// The kubeconfig cannot be used.
    #[error("--kubeconfig={}: {error}", path.display())]
    Kubeconfig {
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        error: Box<KubeconfigError>,
    },
    /// Neither a kubeconfig nor the account of a pod.
    #[error(
        "no access to an API server: {0}; set --kubeconfig, or --manifests to announce without one, or run in a pod \
         with automountServiceAccountToken"
    )]
    InCluster(#[from] Box<InClusterError>),
    /// The access is described, but no client can be made of it.
    #[error("no client for the API server: {0}; correct the certificates or the proxy of the kubeconfig")]
    Client(Box<kube::Error>),
}

/// A client for the API server that the kubeconfig names, or without one for that of the cluster whose pod this is.
/// Does not connect yet. The process must have a crypto provider.
///
/// # Errors
///
/// [`ConnectError`] if the access is not described or the description cannot be used.
pub async fn connect(kubeconfig: Option<&Path>) -> Result<Client, ConnectError> {
    let mut config = match kubeconfig {
        Some(path) => read_kubeconfig(path).await?,
        None => Config::incluster().map_err(Box::new)?,
    };
    config.connect_timeout = Some(CONNECT_TIMEOUT);
    // A watch is silent for long, and each request has a limit of its own; so has each retry.
    config.read_timeout = None;
    config.default_retry = false;
    Client::try_from(config).map_err(|error| ConnectError::Client(Box::new(error)))
}

async fn read_kubeconfig(path: &Path) -> Result<Config, ConnectError> {
    let refuse = |error| ConnectError::Kubeconfig {
        path: path.to_owned(),
        error: Box::new(error),
    };
    let kubeconfig = Kubeconfig::read_from(path).map_err(refuse)?;
    let names_proxy = kubeconfig
        .clusters
        .iter()
        .filter_map(|cluster| cluster.cluster.as_ref())
        .any(|cluster| cluster.proxy_url.is_some());
    let options = KubeConfigOptions::default();
    let mut config = Config::from_custom_kubeconfig(kubeconfig, &options)
        .await
        .map_err(refuse)?;
    // A proxy from the environment is meant for other traffic than a node's to its own API server.
    if !names_proxy {
        config.proxy_url = None;
    }
    Ok(config)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn what_is_missing_is_named() {
        let error = connect(Some(Path::new("/nonexistent/kubeconfig"))).await;
        let text = error.err().expect("there is no such file").to_string();
        assert!(
            text.starts_with("--kubeconfig=/nonexistent/kubeconfig: "),
            "{text}"
        );
    }

    #[tokio::test]
    async fn a_kubeconfig_becomes_a_client() {
        let _ = rustls::crypto::ring::default_provider().install_default();
        let file = tempfile::NamedTempFile::new().expect("a file");
        let text = "
apiVersion: v1
kind: Config
current-context: lab
clusters: [{name: lab, cluster: {server: 'https://127.0.0.1:6443'}}]
contexts: [{name: lab, context: {cluster: lab, user: lab}}]
users: [{name: lab, user: {token: secret}}]
";
        std::fs::write(file.path(), text).expect("writable");
        let client = connect(Some(file.path())).await;
        assert!(client.is_ok(), "{:?}", client.err());
    }
}
