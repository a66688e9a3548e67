package pipeline

import (
	"context"
	"encoding/binary"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/apache/beam/sdks/v2/go/pkg/beam"

	"github.com/imprintkit/imprint/dataset"
	"github.com/imprintkit/imprint/imprint/bulk"
	"github.com/imprintkit/imprint/integrations/beam/embeddings"
)

// Embedded is the result of [Embed].
type Embedded struct {
	Photos   int              // in the set
	Skipped  int              // damaged photos and duplicates, which skipped.tsv names
	Counters map[string]int64 // of Beam; with a runner that repeats bundles, they may count photos twice
	Elapsed  time.Duration
}

const (
	skippedFile    = "skipped.tsv"
	damagedFile    = "parts/damaged.tsv"
	duplicatesFile = "parts/duplicates.tsv"
)

// Embed embeds the photos of j and makes a set of the embeddings. It continues a job that was stopped:
// it keeps the shards that are already there.
func Embed(ctx context.Context, j *embeddings.Job, o Options) (*Embedded, error) {
	start := time.Now()
	if _, err := embeddings.Open(j.Dir); err == nil {
		return nil, fmt.Errorf("embed into %s: it already has all embeddings", j.Dir)
	}
	j.Sweep()
	stop := watch(j, o.Progress)
	counters, err := run(ctx, o, func(s beam.Scope) {
		chunks := make([]int, j.Chunks)
		for i := range chunks {
			chunks[i] = i
		}
		all := share(s, o, chunks, func(s beam.Scope, own beam.PCollection) []beam.PCollection {
			return beam.ParDoN(s, &embedFn{place: place{Dir: j.Dir, Threads: o.Threads}}, own)
		})
		collect(s, filepath.Join(j.Dir, damagedFile), all[1])
		duplicates := beam.ParDo(s, &duplicatesFn{}, beam.GroupByKey(s, all[0]))
		collect(s, filepath.Join(j.Dir, duplicatesFile), duplicates)
	})
	stop()
	if err != nil {
		return nil, fmt.Errorf("embed into %s: %w", j.Dir, err)
	}
	dropped, skipped, err := writeSkipped(j)
	if err != nil {
		return nil, err
	}
	e, err := engineOf(j, o.Threads)
	if err != nil {
		return nil, err
	}
	set, err := j.Merge(dropped, embeddings.NewUnits(e.Engine))
	if err != nil {
		return nil, fmt.Errorf("merge the shards in %s: %w", j.Dir, err)
	}
	defer set.Close()
	return &Embedded{set.Rows(), skipped, counters, time.Since(start)}, nil
}

// watch calls progress about once a second until stop is called.
func watch(j *embeddings.Job, progress func(done, total int)) (stop func()) {
	if progress == nil {
		return func() {}
	}
	end, ended := make(chan struct{}), make(chan struct{})
	go func() {
		defer close(ended)
		tick := time.NewTicker(time.Second)
		defer tick.Stop()
		for {
			select {
			case <-end:
				return
			case <-tick.C:
				progress(min(j.Done()*j.ChunkSize, j.Photos), j.Photos)
			}
		}
	}()
	return func() {
		close(end)
		<-ended
	}
}

// writeSkipped writes skipped.tsv, with the path of each skipped photo and the reason, in the order of
// the list. It returns the positions of duplicates and the number of skipped photos.
func writeSkipped(j *embeddings.Job) (dropped map[int64]bool, n int, err error) {
	damaged, err := readLines(filepath.Join(j.Dir, damagedFile))
	if err != nil {
		return nil, 0, err
	}
	duplicates, err := readLines(filepath.Join(j.Dir, duplicatesFile))
	if err != nil {
		return nil, 0, err
	}
	dropped = make(map[int64]bool)
	lines := damaged
	chunk, photos := -1, []embeddings.Photo(nil)
	for _, line := range duplicates {
		position, class, err := twoNumbers(line)
		if err != nil {
			return nil, 0, err
		}
		dropped[int64(position)] = true
		if c := position / j.ChunkSize; c != chunk {
			if photos, err = j.List(c); err != nil {
				return nil, 0, err
			}
			chunk = c
		}
		lines = append(lines, skippedLine(int64(position), photos[position%j.ChunkSize].Name(), fmt.Sprintf("already in %q", j.Classes[class])))
	}
	slices.Sort(lines)
	var b strings.Builder
	for _, line := range lines {
		_, rest, _ := strings.Cut(line, "\t")
		b.WriteString(rest + "\n")
	}
	return dropped, len(lines), embeddings.WriteFile(filepath.Join(j.Dir, skippedFile), []byte(b.String()))
}

// skippedLine returns a line about a skipped photo that sorts by position.
func skippedLine(position int64, path, reason string) string {
	clean := strings.NewReplacer("\t", " ", "\n", " ", "\r", " ")
	return fmt.Sprintf("%012d\t%s\t%s", position, clean.Replace(path), clean.Replace(reason))
}

func readLines(path string) ([]string, error) {
	b, err := os.ReadFile(path)
	if err != nil || len(b) == 0 {
		return nil, err
	}
	return strings.Split(string(b), "\n"), nil
}

func twoNumbers(line string) (a, b int, err error) {
	first, second, _ := strings.Cut(line, "\t")
	if a, err = strconv.Atoi(first); err == nil {
		b, err = strconv.Atoi(second)
	}
	return a, b, err
}

// embedFn embeds a chunk of photos and writes its shard. It emits the identities of the photos, for
// duplicatesFn, and a line for each photo that can't be added.
type embedFn struct {
	place
	photos, damaged, kept beam.Counter
}

func (f *embedFn) Setup() error {
	f.photos = beam.NewCounter("imprint", "photos")
	f.damaged = beam.NewCounter("imprint", "damaged")
	f.kept = beam.NewCounter("imprint", "chunks_kept")
	return f.openJob()
}

func (f *embedFn) ProcessElement(ctx context.Context, chunk int, emitIdentities func(int, []byte), emitDamaged func(string)) error {
	if f.job.HasShard(chunk) {
		f.kept.Inc(ctx, 1)
	} else if err := f.embed(ctx, chunk); err != nil {
		return fmt.Errorf("embed chunk %d: %w", chunk, err)
	}
	identities := make(map[int][]byte) // by bucket
	err := f.job.ReadShard(chunk, func(r *embeddings.Row, class int) {
		bucket := int(binary.LittleEndian.Uint32(r.SHA256)) % max(f.job.Chunks, 1)
		b := append(identities[bucket], r.SHA256...)
		b = binary.LittleEndian.AppendUint64(b, uint64(r.Position))
		identities[bucket] = binary.LittleEndian.AppendUint32(b, uint32(class))
	})
	if err != nil {
		return err
	}
	for bucket, b := range identities {
		emitIdentities(bucket, b)
	}
	damaged, err := f.job.Skipped(chunk)
	for _, d := range damaged {
		emitDamaged(skippedLine(d.Position, d.Path, d.Reason))
	}
	return err
}

// embed writes the shard of a chunk.
func (f *embedFn) embed(ctx context.Context, chunk int) error {
	defer take(f.engine.embedding)()
	photos, err := f.job.List(chunk)
	if err != nil {
		return err
	}
	var rows []embeddings.Row
	var skipped []embeddings.Skipped
	for first := 0; first < len(photos); {
		items, broken := load(photos[first:])
		err := f.engine.Embed(ctx, items, func(i int, m bulk.Embedding) error {
			p, position := &photos[first+i], int64(chunk*f.job.ChunkSize+first+i)
			if broken[i] != nil {
				m.Err = broken[i]
			}
			if m.Err != nil {
				skipped = append(skipped, embeddings.Skipped{Position: position, Path: p.Name(), Reason: m.Err.Error()})
				return nil
			}
			rows = append(rows, embeddings.Row{
				Position: position, Label: f.job.Classes[p.Class], Path: p.Name(), SHA256: m.Photo[:], Hash: int64(m.Hash), Embedding: m.Raw,
			})
			return nil
		})
		if err != nil {
			return err
		}
		first += len(items)
	}
	f.photos.Inc(ctx, int64(len(rows)))
	f.damaged.Inc(ctx, int64(len(skipped)))
	return f.job.WriteShard(chunk, rows, skipped, f.units)
}

// maxLoaded is the number of bytes of photos from tar files that are in memory at once, except that
// one photo may be larger.
const maxLoaded = 32 << 20

// load returns items for the first photos. It reads those in tar files up to maxLoaded, and returns the
// error of each that it can't read.
func load(photos []embeddings.Photo) (items []dataset.Item, broken map[int]error) {
	broken = make(map[int]error)
	loaded := int64(0)
	for i := range photos {
		p := &photos[i]
		item := dataset.Item{Path: p.Path}
		if p.Tar != "" {
			size := min(p.Size, dataset.DefaultLimits().MaxBytes+1)
			if loaded += size; loaded > maxLoaded && i > 0 {
				break
			}
			var err error
			if item.Content, err = readPart(p.Tar, p.Offset, size); err != nil {
				broken[i], item.Content = err, []byte{}
			}
			item.Path = p.Name()
		}
		items = append(items, item)
	}
	return items, broken
}

// readPart returns size bytes of a file.
func readPart(path string, offset, size int64) ([]byte, error) {
	f, err := os.Open(path)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	b := make([]byte, size)
	_, err = io.ReadFull(io.NewSectionReader(f, offset, size), b)
	return b, err
}

// duplicatesFn finds photos that are in the list more than once, and emits the position of each but the
// first, with the class of the first.
type duplicatesFn struct{}

func (*duplicatesFn) ProcessElement(_ int, identities func(*[]byte) bool, emit func(string)) {
	const size = 32 + 8 + 4
	type place struct {
		position uint64
		class    uint32
	}
	first := make(map[[32]byte]place)
	var again []struct {
		photo    [32]byte
		position uint64
	}
	var part []byte
	for identities(&part) {
		for ; len(part) >= size; part = part[size:] {
			photo := [32]byte(part)
			at := place{binary.LittleEndian.Uint64(part[32:]), binary.LittleEndian.Uint32(part[40:])}
			other, ok := first[photo]
			if !ok || at.position < other.position {
				first[photo], at = at, other
			}
			if ok && at.position != first[photo].position { // equal if a bundle ran twice
				again = append(again, struct {
					photo    [32]byte
					position uint64
				}{photo, at.position})
			}
		}
	}
	for _, a := range again {
		emit(fmt.Sprintf("%d\t%d", a.position, first[a.photo].class))
	}
}
