// Renders Helm charts, for tests on machines that have no helm: the same template engine, function library, YAML and JSON
// schema packages, and the part of helm's own functions that charts use.
//
// Standard input is a JSON array of requests, standard output a JSON array of answers in the same order.
package main

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path"
	"path/filepath"
	"regexp"
	"sort"
	"strings"
	"text/template"

	"github.com/Masterminds/sprig"
	"github.com/xeipuuv/gojsonschema"
	"sigs.k8s.io/yaml"
)

type object = map[string]interface{}

type request struct {
	Chart       string   `json:"chart"`
	Release     string   `json:"release"`
	Namespace   string   `json:"namespace"`
	KubeVersion string   `json:"kubeVersion"`
	APIVersions []string `json:"apiVersions"`
	Values      []object `json:"values"`
}

type answer struct {
	Files map[string]string `json:"files,omitempty"`
	Error string            `json:"error,omitempty"`
}

func main() {
	var requests []request
	if err := json.NewDecoder(os.Stdin).Decode(&requests); err != nil {
		fmt.Fprintln(os.Stderr, "requests:", err)
		os.Exit(2)
	}
	answers := make([]answer, len(requests))
	for i, r := range requests {
		files, err := render(r)
		if err != nil {
			answers[i].Error = err.Error()
			continue
		}
		answers[i].Files = files
	}
	if err := json.NewEncoder(os.Stdout).Encode(answers); err != nil {
		fmt.Fprintln(os.Stderr, "answers:", err)
		os.Exit(2)
	}
}

func render(r request) (map[string]string, error) {
	chart, err := readYAML(filepath.Join(r.Chart, "Chart.yaml"))
	if err != nil {
		return nil, err
	}
	values, err := readYAML(filepath.Join(r.Chart, "values.yaml"))
	if err != nil {
		return nil, err
	}
	for _, over := range r.Values {
		values = merge(values, over)
	}
	if err := validate(filepath.Join(r.Chart, "values.schema.json"), values); err != nil {
		return nil, err
	}
	top := object{
		"Values": values,
		"Chart":  titled(chart),
		"Release": object{
			"Name": r.Release, "Namespace": r.Namespace, "Service": "Helm",
			"IsInstall": true, "IsUpgrade": false, "Revision": 1,
		},
		"Capabilities": object{
			"KubeVersion": kubeVersion{Version: r.KubeVersion},
			"APIVersions": apiVersions(r.APIVersions),
		},
		"Files": files{r.Chart},
	}
	return run(r.Chart, chart["name"].(string), top)
}

// The paths of templates count from the chart's name, as in helm's messages.
func run(dir, name string, top object) (map[string]string, error) {
	paths, err := filepath.Glob(filepath.Join(dir, "templates", "*"))
	if err != nil {
		return nil, err
	}
	sort.Strings(paths)
	root := template.New("chart").Option("missingkey=zero")
	root.Funcs(functions(root))
	var wanted []string
	for _, p := range paths {
		text, err := os.ReadFile(p)
		if err != nil {
			return nil, err
		}
		id := path.Join(name, "templates", filepath.Base(p))
		if _, err := root.New(id).Parse(string(text)); err != nil {
			return nil, err
		}
		if !strings.HasPrefix(filepath.Base(p), "_") {
			wanted = append(wanted, id)
		}
	}
	rendered := map[string]string{}
	for _, id := range wanted {
		vals := object{}
		for k, v := range top {
			vals[k] = v
		}
		vals["Template"] = object{"Name": id, "BasePath": path.Join(name, "templates")}
		var out bytes.Buffer
		if err := root.ExecuteTemplate(&out, id, vals); err != nil {
			return nil, err
		}
		rendered[id] = strings.ReplaceAll(out.String(), "<no value>", "")
	}
	return rendered, nil
}

func functions(root *template.Template) template.FuncMap {
	f := sprig.TxtFuncMap()
	delete(f, "env")
	delete(f, "expandenv")
	f["toYaml"] = func(v interface{}) string {
		text, err := yaml.Marshal(v)
		if err != nil {
			return ""
		}
		return strings.TrimSuffix(string(text), "\n")
	}
	f["fromYaml"] = func(text string) object {
		m := object{}
		if err := yaml.Unmarshal([]byte(text), &m); err != nil {
			m["Error"] = err.Error()
		}
		return m
	}
	f["fromJsonArray"] = func(text string) []interface{} {
		list := []interface{}{}
		if err := json.Unmarshal([]byte(text), &list); err != nil {
			list = []interface{}{err.Error()}
		}
		return list
	}
	f["toJson"] = func(v interface{}) string {
		text, err := json.Marshal(v)
		if err != nil {
			return ""
		}
		return string(text)
	}
	f["fail"] = func(message string) (string, error) { return "", errors.New(message) }
	f["required"] = func(message string, v interface{}) (interface{}, error) {
		if v == nil || v == "" {
			return v, errors.New(message)
		}
		return v, nil
	}
	f["lookup"] = func(_, _, _, _ string) object { return object{} }
	f["include"] = func(name string, data interface{}) (string, error) {
		var out strings.Builder
		err := root.ExecuteTemplate(&out, name, data)
		return out.String(), err
	}
	f["tpl"] = func(text string, data interface{}) (string, error) {
		clone, err := root.Clone()
		if err != nil {
			return "", err
		}
		t, err := clone.New("tpl").Parse(text)
		if err != nil {
			return "", err
		}
		var out strings.Builder
		err = t.Execute(&out, data)
		return strings.ReplaceAll(out.String(), "<no value>", ""), err
	}
	return f
}

// Lays values over others: maps key by key, everything else as a whole; null takes a key away.
func merge(below, above object) object {
	merged := object{}
	for k, v := range below {
		merged[k] = v
	}
	for k, v := range above {
		if v == nil {
			delete(merged, k)
			continue
		}
		b, isB := merged[k].(object)
		a, isA := v.(object)
		if isA && isB {
			merged[k] = merge(b, a)
			continue
		}
		merged[k] = v
	}
	return merged
}

func validate(schema string, values object) error {
	text, err := os.ReadFile(schema)
	if os.IsNotExist(err) {
		return nil
	}
	if err != nil {
		return err
	}
	plain, err := json.Marshal(values)
	if err != nil {
		return err
	}
	result, err := gojsonschema.Validate(gojsonschema.NewBytesLoader(text), gojsonschema.NewBytesLoader(plain))
	if err != nil {
		return fmt.Errorf("%s: %w", schema, err)
	}
	if result.Valid() {
		return nil
	}
	lines := []string{"values don't meet the specifications of the schema:"}
	for _, e := range result.Errors() {
		lines = append(lines, "- "+e.String())
	}
	return errors.New(strings.Join(lines, "\n"))
}

func readYAML(p string) (object, error) {
	text, err := os.ReadFile(p)
	if err != nil {
		return nil, err
	}
	m := object{}
	if err := yaml.UnmarshalStrict(text, &m); err != nil {
		return nil, fmt.Errorf("%s: %w", p, err)
	}
	return m, nil
}

// Helm shows Chart.yaml to templates with its fields' Go names.
func titled(chart object) object {
	shown := object{}
	for k, v := range chart {
		shown[strings.ToUpper(k[:1])+k[1:]] = v
	}
	shown["APIVersion"] = chart["apiVersion"]
	return shown
}

type kubeVersion struct{ Version string }

func (v kubeVersion) String() string { return v.Version }

var numbers = regexp.MustCompile(`^v(\d+)\.(\d+)`)

func (v kubeVersion) part(i int) string {
	if m := numbers.FindStringSubmatch(v.Version); m != nil {
		return m[i]
	}
	return ""
}

func (v kubeVersion) Major() string { return v.part(1) }
func (v kubeVersion) Minor() string { return v.part(2) }

type apiVersions []string

func (a apiVersions) Has(version string) bool {
	for _, v := range a {
		if v == version {
			return true
		}
	}
	return false
}

type files struct{ dir string }

func (f files) Get(name string) string {
	text, err := os.ReadFile(filepath.Join(f.dir, filepath.Clean("/"+name)))
	if err != nil {
		return ""
	}
	return string(text)
}
