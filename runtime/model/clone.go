package model

import (
	"encoding/json"
	"fmt"
	"reflect"
	"slices"
	"strings"
)

// Difference is one field in which two objects differ. Values are JSON; of secrets and
// passwords they say only whether there is one.
type Difference struct {
	Field  string `json:"field"`
	Before string `json:"before,omitempty"`
	After  string `json:"after,omitempty"`
}

// Diff tells in which fields two objects of one kind differ; either may be nil. What the
// write path sets by itself (revision, times, who) is left out.
func Diff(before, after Object) []Difference {
	old, young := flatten(before), flatten(after)
	names := make([]string, 0, len(old)+len(young))
	for name := range old {
		names = append(names, name)
	}
	for name := range young {
		if _, ok := old[name]; !ok {
			names = append(names, name)
		}
	}
	slices.Sort(names)
	var out []Difference
	for _, name := range names {
		if old[name] != young[name] {
			out = append(out, Difference{Field: name, Before: hide(name, old[name]), After: hide(name, young[name])})
		}
	}
	return out
}

// flatten is an object as path -> JSON of the value.
func flatten(o Object) map[string]string {
	out := map[string]string{}
	if o == nil || reflect.ValueOf(o).IsNil() {
		return out
	}
	text, err := json.Marshal(o)
	var tree map[string]any
	if err != nil || json.Unmarshal(text, &tree) != nil {
		return out
	}
	for _, own := range []string{"rev", "created", "modified", "by"} {
		delete(tree, own)
	}
	flattenInto(out, "", tree)
	return out
}

func flattenInto(out map[string]string, path string, value any) {
	switch value := value.(type) {
	case map[string]any:
		for name, v := range value {
			flattenInto(out, strings.TrimPrefix(path+"."+name, "."), v)
		}
	case []any:
		for i, v := range value {
			flattenInto(out, fmt.Sprintf("%s[%d]", path, i), v)
		}
	default:
		text, err := json.Marshal(value)
		if err == nil {
			out[path] = string(text)
		}
	}
}

// hide keeps what is confidential out of a difference.
func hide(field, value string) string {
	last := field[strings.LastIndexByte(field, '.')+1:]
	confidential := last == "clear" || last == "sealed" || last == "hash" || strings.Contains(field, "recovery[")
	if confidential && value != "" {
		return `"(not shown)"`
	}
	return value
}

// Clone is a deep copy of an object.
func Clone[O Object](o O) O {
	return cloneValue(reflect.ValueOf(o)).Interface().(O)
}

func cloneValue(v reflect.Value) reflect.Value {
	switch v.Kind() {
	case reflect.Pointer:
		if v.IsNil() {
			return v
		}
		out := reflect.New(v.Elem().Type())
		out.Elem().Set(cloneValue(v.Elem()))
		return out
	case reflect.Struct:
		out := reflect.New(v.Type()).Elem()
		out.Set(v)
		for i := range v.NumField() {
			if v.Type().Field(i).IsExported() {
				out.Field(i).Set(cloneValue(v.Field(i)))
			}
		}
		return out
	case reflect.Slice:
		if v.IsNil() {
			return v
		}
		out := reflect.MakeSlice(v.Type(), v.Len(), v.Len())
		for i := range v.Len() {
			out.Index(i).Set(cloneValue(v.Index(i)))
		}
		return out
	}
	return v
}
