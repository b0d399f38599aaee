//! Many pods, quickly.
//!
//! A real API server takes a few hundred creations a second. What it has in its store is another matter: it reads whatever
//! is there, and JSON as well as its own encoding. So the pods of a big cluster go into etcd directly, and the server's
//! caches learn of them as they learn of everything.

use std::net::Ipv4Addr;

use anyhow::{Context, Result, ensure};
use base64::Engine as _;
use base64::prelude::BASE64_STANDARD;
use serde_json::{Value, json};

use super::client::ApiClient;
use super::cluster::Cluster;
use super::objects;
use crate::manifests::BGP;

/// The subnet that the pods are on.
pub const SUBNET: &str = "load";

/// Pods per transaction: a few megabytes.
const BATCH: usize = 500;

/// The first address: 10.64.0.0/10 has room for four million.
const FIRST: Ipv4Addr = Ipv4Addr::new(10, 64, 0, 0);

/// Changes pods in a cluster's store.
#[derive(Debug)]
pub struct Writer {
    load: Load,
    template: Value,
    etcd: ApiClient,
}

/// What a pod looks like.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Look {
    /// Whether it is to be announced.
    pub annotated: bool,
    /// Something that concerns nobody but changes the object.
    pub mark: u32,
}

/// A cluster's worth of pods.
#[derive(Debug, Clone, Copy)]
pub struct Load {
    /// How many pods.
    pub pods: u32,
    /// How many nodes they are spread over, `node1` and up.
    pub nodes: u32,
    /// Every so many-th pod is annotated; none if it is 0.
    pub annotated_every: u32,
}

impl Load {
    /// The subnet.
    pub fn subnet(&self) -> Value {
        objects::subnet(SUBNET, &format!("{FIRST}/10"), None)
    }

    /// The pods, each as big as one is in a real cluster.
    pub fn pods(self) -> impl Iterator<Item = Value> {
        let template = template();
        (0..self.pods).map(move |number| self.pod(&template, number, self.look(number)))
    }

    /// The address of a pod.
    pub fn address(&self, number: u32) -> Ipv4Addr {
        Ipv4Addr::from_bits(FIRST.to_bits() + number)
    }

    /// How many of the pods are annotated.
    pub fn annotated(&self) -> u32 {
        match self.annotated_every {
            0 => 0,
            every => self.pods.div_ceil(every),
        }
    }

    /// Puts the pods and their subnet into the cluster's store, and waits until the API server lists them.
    pub fn fill(&self, cluster: &Cluster) -> Result<()> {
        cluster.create(&self.subnet())?;
        let writer = self.writer(cluster);
        let all = (0..self.pods).map(|number| (number, Some(self.look(number))));
        for batch in all.collect::<Vec<_>>().chunks(BATCH) {
            writer.write(batch)?;
        }
        let client = cluster.client()?;
        let last = format!(
            "/api/v1/namespaces/default/pods/{}",
            name(self.pods.saturating_sub(1))
        );
        crate::wait::until_true("the last pod is there", crate::wait::PATIENCE, || {
            Ok(self.pods == 0 || client.get(&last)?.status == 200)
        })?;
        let list = client.get("/api/v1/pods?limit=1")?.ok()?;
        let rest = list["metadata"]["remainingItemCount"]
            .as_u64()
            .unwrap_or_default();
        ensure!(
            self.pods == 0 || rest + 1 >= u64::from(self.pods),
            "the API server lists {} pods",
            rest + 1
        );
        Ok(())
    }

    /// What a pod looks like at first.
    pub fn look(&self, number: u32) -> Look {
        Look {
            annotated: self.annotated_every > 0 && number.is_multiple_of(self.annotated_every),
            mark: 0,
        }
    }

    /// For changes of many pods at a time.
    pub fn writer(self, cluster: &Cluster) -> Writer {
        Writer {
            load: self,
            template: template(),
            etcd: ApiClient::plain(cluster.etcd_address()).from(cluster.netns()),
        }
    }

    fn pod(&self, template: &Value, number: u32, look: Look) -> Value {
        let mut pod = template.clone();
        let address = self.address(number).to_string();
        let meta = &mut pod["metadata"];
        meta["name"] = name(number).into();
        meta["uid"] = format!("00000000-0000-4000-8000-{number:012}").into();
        meta["annotations"]["ovn.kubernetes.io/ip_address"] = address.as_str().into();
        if look.annotated {
            meta["annotations"][BGP] = "true".into();
        }
        if look.mark > 0 {
            meta["labels"]["mark"] = look.mark.to_string().into();
        }
        pod["spec"]["nodeName"] = format!("node{}", 1 + number % self.nodes.max(1)).into();
        pod["status"]["podIP"] = address.as_str().into();
        pod["status"]["podIPs"][0]["ip"] = address.into();
        pod
    }
}

fn template() -> Value {
    let mut pod = objects::pod("", "", "", None);
    let meta = &mut pod["metadata"];
    meta["creationTimestamp"] = "2026-01-01T00:00:00Z".into();
    meta["generateName"] = "app-5d4f8c7b9-".into();
    meta["labels"] = json!({ "app": "app", "pod-template-hash": "5d4f8c7b9", "tier": "backend" });
    meta["ownerReferences"] = json!([{
        "apiVersion": "apps/v1",
        "kind": "ReplicaSet",
        "name": "app-5d4f8c7b9",
        "uid": "11111111-0000-4000-8000-000000000000",
        "controller": true,
        "blockOwnerDeletion": true,
    }]);
    let notes = &mut meta["annotations"];
    for (key, value) in [
        ("cidr", "10.64.0.0/10"),
        ("gateway", "10.64.0.1"),
        ("logical_router", "ovn-cluster"),
        ("logical_switch", SUBNET),
        ("mac_address", "00:00:00:12:34:56"),
        ("pod_nic_type", "veth-pair"),
        ("routed", "true"),
    ] {
        notes[format!("ovn.kubernetes.io/{key}")] = value.into();
    }
    meta["managedFields"] = managed_fields();
    pod["spec"] = spec();
    pod["status"]["conditions"] = conditions();
    pod["status"]["containerStatuses"] = json!([{
        "name": "main",
        "ready": true,
        "started": true,
        "restartCount": 0,
        "image": "registry.example/team/app:1.2.3",
        "imageID": format!("registry.example/team/app@sha256:{:064}", 0),
        "containerID": format!("containerd://{:064}", 0),
        "state": { "running": { "startedAt": "2026-01-01T00:00:05Z" } },
        "lastState": {},
    }]);
    pod
}

impl Writer {
    /// Gives pods a look, or takes them away, all at the same moment. Each pod may be there only once.
    pub fn write(&self, pods: &[(u32, Option<Look>)]) -> Result<()> {
        let steps = pods.iter().map(|(number, look)| {
            let key = BASE64_STANDARD.encode(format!("/registry/pods/default/{}", name(*number)));
            let Some(look) = look else {
                return json!({ "requestDeleteRange": { "key": key } });
            };
            let pod = self.load.pod(&self.template, *number, *look).to_string();
            json!({ "requestPut": { "key": key, "value": BASE64_STANDARD.encode(pod) } })
        });
        let transaction = json!({ "success": steps.collect::<Vec<_>>() });
        let reply = self.etcd.post("/v3/kv/txn", &transaction)?;
        reply.ok().context("write to etcd").map(drop)
    }
}

/// The name of a pod.
pub fn name(number: u32) -> String {
    format!("app-5d4f8c7b9-{number:07}")
}

fn spec() -> Value {
    let probe = |path: &str| {
        json!({
            "httpGet": { "path": path, "port": 8080, "scheme": "HTTP" },
            "initialDelaySeconds": 5,
            "timeoutSeconds": 1,
            "periodSeconds": 10,
            "successThreshold": 1,
            "failureThreshold": 3,
        })
    };
    let variables = (0..12).map(|number| {
        json!({ "name": format!("APP_SETTING_{number}"), "value": format!("value-{number}.team.svc.cluster.local") })
    });
    json!({
        "serviceAccountName": "default",
        "restartPolicy": "Always",
        "dnsPolicy": "ClusterFirst",
        "schedulerName": "default-scheduler",
        "terminationGracePeriodSeconds": 30,
        "securityContext": {},
        "enableServiceLinks": true,
        "tolerations": [
            { "key": "node.kubernetes.io/not-ready", "operator": "Exists", "effect": "NoExecute", "tolerationSeconds": 300 },
            { "key": "node.kubernetes.io/unreachable", "operator": "Exists", "effect": "NoExecute", "tolerationSeconds": 300 },
        ],
        "volumes": [{ "name": "config", "configMap": { "name": "app-config", "defaultMode": 420 } }],
        "containers": [{
            "name": "main",
            "image": "registry.example/team/app:1.2.3",
            "imagePullPolicy": "IfNotPresent",
            "ports": [{ "containerPort": 8080, "protocol": "TCP" }],
            "env": variables.collect::<Vec<_>>(),
            "resources": { "requests": { "cpu": "100m", "memory": "128Mi" }, "limits": { "memory": "256Mi" } },
            "volumeMounts": [{ "name": "config", "mountPath": "/etc/app" }],
            "livenessProbe": probe("/healthz"),
            "readinessProbe": probe("/readyz"),
            "terminationMessagePath": "/dev/termination-log",
            "terminationMessagePolicy": "File",
        }],
    })
}

fn conditions() -> Value {
    let condition = |name: &str| {
        json!({
            "type": name,
            "status": "True",
            "lastProbeTime": null,
            "lastTransitionTime": "2026-01-01T00:00:05Z",
        })
    };
    json!(["Initialized", "Ready", "ContainersReady", "PodScheduled"].map(condition))
}

/// Nobody reads them, but they are a good part of what an API server sends.
fn managed_fields() -> Value {
    let entry = |manager: &str, fields: Value| {
        json!({
            "manager": manager,
            "operation": "Update",
            "apiVersion": "v1",
            "time": "2026-01-01T00:00:00Z",
            "fieldsType": "FieldsV1",
            "fieldsV1": fields,
        })
    };
    let variables = (0..12).map(|number| {
        let key = format!("k:{{\"name\":\"APP_SETTING_{number}\"}}");
        (key, json!({ ".": {}, "f:name": {}, "f:value": {} }))
    });
    let probe = json!({
        "f:failureThreshold": {}, "f:httpGet": { "f:path": {}, "f:port": {}, "f:scheme": {} },
        "f:initialDelaySeconds": {}, "f:periodSeconds": {}, "f:successThreshold": {}, "f:timeoutSeconds": {},
    });
    json!([
        entry(
            "kube-controller-manager",
            json!({
                "f:metadata": { "f:generateName": {}, "f:labels": { ".": {}, "f:app": {}, "f:tier": {} } },
                "f:spec": {
                    "f:containers": { "k:{\"name\":\"main\"}": {
                        ".": {}, "f:env": variables.collect::<serde_json::Map<_, _>>(), "f:image": {}, "f:name": {},
                        "f:livenessProbe": probe.clone(), "f:readinessProbe": probe, "f:resources": {}, "f:volumeMounts": {},
                    } },
                    "f:dnsPolicy": {}, "f:restartPolicy": {}, "f:schedulerName": {}, "f:securityContext": {},
                },
            })
        ),
        entry(
            "kube-ovn-controller",
            json!({
                "f:metadata": { "f:annotations": {
                    "f:ovn.kubernetes.io/allocated": {}, "f:ovn.kubernetes.io/cidr": {}, "f:ovn.kubernetes.io/gateway": {},
                    "f:ovn.kubernetes.io/ip_address": {}, "f:ovn.kubernetes.io/logical_switch": {},
                } },
            })
        ),
        entry(
            "kubelet",
            json!({
                "f:status": { "f:conditions": {}, "f:containerStatuses": {}, "f:phase": {}, "f:podIP": {}, "f:podIPs": {} },
            })
        ),
    ])
}
