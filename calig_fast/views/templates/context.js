// What each unit attended to, as views/context.py wrote it: largest [V,N] float32, units [V,N,K] uint16 (left out where
// every entry is kept), levels [V,N,K] int8. Returns a function of (view, unit) -> {largest, entries: [[unit, value]]}.
function contextRows({ count, kept, data }, views) {
  const bytes = Uint8Array.from(atob(data), (c) => c.charCodeAt(0)).buffer;
  const largest = new Float32Array(bytes, 0, views * count);
  const whole = kept === count;
  const units = whole ? null : new Uint16Array(bytes, largest.byteLength, views * count * kept);
  const levels = new Int8Array(bytes, largest.byteLength + (whole ? 0 : units.byteLength));
  return (view, unit) => {
    const row = view * count + unit;
    const entries = Array.from({ length: kept }, (_, k) => {
      const place = row * kept + k;
      return [whole ? k : units[place], (levels[place] / 127) * largest[row]];
    });
    return { largest: largest[row], entries };
  };
}
