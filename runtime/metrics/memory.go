package metrics

import "runtime/metrics"

// memoryUsed is what the runtime has got from the system and not given back.
func memoryUsed() float64 {
	samples := []metrics.Sample{{Name: "/memory/classes/total:bytes"}, {Name: "/memory/classes/heap/released:bytes"}}
	metrics.Read(samples)
	for _, s := range samples {
		if s.Value.Kind() != metrics.KindUint64 {
			return 0
		}
	}
	return float64(samples[0].Value.Uint64() - samples[1].Value.Uint64())
}
