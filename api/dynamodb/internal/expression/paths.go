package expression

import (
	"maps"
	"slices"

	"github.com/firehosed/firehosed/leases"
)

// disjoint makes sure that no path is within another one, and that no two
// treat the same value as a map and as a list.
func disjoint(paths []Path) error {
	for i, a := range paths {
		for _, b := range paths[i+1:] {
			n := 0
			for n < min(len(a), len(b)) && a[n] == b[n] {
				n++
			}
			switch {
			case n == len(a) || n == len(b):
				return wrong("Two document paths overlap with each other; must remove or rewrite one of these paths; path one: %s, path two: %s", a, b)
			case (a[n].Index < 0) != (b[n].Index < 0):
				return wrong("Two document paths conflict with each other; must remove or rewrite one of these paths; path one: %s, path two: %s", a, b)
			}
		}
	}
	return nil
}

// Projection is a choice of parts of items.
type Projection struct{ paths []Path }

// ParseProjection reads a list of paths.
func ParseProjection(src string, scope *Scope) (*Projection, error) {
	p, err := newParser(src, scope)
	if err != nil {
		return nil, err
	}
	for more := true; more; more = p.accept(",") {
		if _, err := p.path(); err != nil {
			return nil, err
		}
	}
	if err := p.end(); err != nil {
		return nil, err
	}
	return &Projection{p.paths}, disjoint(p.paths)
}

// Attributes returns the projection on attributes by name.
func Attributes(names ...string) *Projection {
	p := &Projection{paths: make([]Path, len(names))}
	for i, name := range names {
		p.paths[i] = Path{{Name: name, Index: -1}}
	}
	return p
}

// Of returns the chosen parts of an item that are there. Elements of a list
// keep their order.
func (p *Projection) Of(item leases.Item) leases.Item {
	v, _ := project(leases.Value{Kind: leases.KindMap, Map: item}, p.paths, 0)
	return v.Map
}

// project returns what paths choose of v, which is at depth.
func project(v leases.Value, paths []Path, depth int) (leases.Value, bool) {
	groups := map[Step][]Path{}
	for _, path := range paths {
		if len(path) == depth {
			return v, true
		}
		groups[path[depth]] = append(groups[path[depth]], path)
	}
	out := leases.Value{Kind: v.Kind}
	if v.Kind == leases.KindMap {
		out.Map = make(leases.Item, len(groups))
	}
	steps := slices.SortedFunc(maps.Keys(groups), func(a, b Step) int { return a.Index - b.Index })
	found := false
	for _, step := range steps {
		child, ok := step.in(v)
		if ok {
			child, ok = project(child, groups[step], depth+1)
		}
		if !ok {
			continue
		}
		found = true
		if step.Index < 0 {
			out.Map[step.Name] = child
		} else {
			out.List = append(out.List, child)
		}
	}
	return out, found
}

// put returns v with a new value at a path; v must have all but the last step.
// An index beyond the end of a list is the place after the end.
func put(v leases.Value, path Path, value leases.Value) (leases.Value, bool) {
	if len(path) == 0 {
		return value, true
	}
	step := path[0]
	child, ok := step.in(v)
	if !ok && (len(path) > 1 || step.Index < 0 && v.Kind != leases.KindMap || step.Index >= 0 && v.Kind != leases.KindList) {
		return v, false
	}
	if child, ok = put(child, path[1:], value); !ok {
		return v, false
	}
	if step.Index < 0 {
		v.Map = maps.Clone(v.Map)
		if v.Map == nil {
			v.Map = leases.Item{}
		}
		v.Map[step.Name] = child
		return v, true
	}
	v.List = slices.Clone(v.List)
	if step.Index < len(v.List) {
		v.List[step.Index] = child
	} else {
		v.List = append(v.List, child)
	}
	return v, true
}

// remove returns v without what is at a path. Nothing there is fine; false
// means that the path leads nowhere.
func remove(v leases.Value, path Path) (leases.Value, bool) {
	step := path[0]
	child, ok := step.in(v)
	if !ok {
		fits := step.Index < 0 && v.Kind == leases.KindMap || step.Index >= 0 && v.Kind == leases.KindList
		return v, fits && len(path) == 1
	}
	if len(path) > 1 {
		if child, ok = remove(child, path[1:]); !ok {
			return v, false
		}
		return put(v, path[:1], child)
	}
	if step.Index < 0 {
		v.Map = maps.Clone(v.Map)
		delete(v.Map, step.Name)
	} else {
		v.List = slices.Delete(slices.Clone(v.List), step.Index, step.Index+1)
	}
	return v, true
}
