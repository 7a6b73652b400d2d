import { defineConfig } from "vite";

// The names are fixed: crates/server/src/explorer.rs knows them, and the server lets nothing be kept.
export default defineConfig({
  base: "/explorer/",
  build: {
    outDir: "../python/embedded_db/explorer",
    emptyOutDir: true,
    assetsDir: "",
    // A file within a file would be forbidden by the policy of the page.
    assetsInlineLimit: 0,
    // Of what is built in.
    license: { fileName: "licences.md" },
    modulePreload: { polyfill: false },
    rolldownOptions: {
      output: { entryFileNames: "app.js", assetFileNames: "app[extname]", codeSplitting: false },
    },
  },
  worker: {
    format: "es",
    rolldownOptions: { output: { entryFileNames: "layout.js" } },
  },
});
