import { svelte } from "@sveltejs/vite-plugin-svelte";
import { defineConfig } from "vite";

export default defineConfig({
  base: "/console/",
  plugins: [svelte({ compilerOptions: { runes: true } })],
  // The server puts a new nonce in its place for each answer.
  html: { cspNonce: "NONCE-OF-THIS-ANSWER" },
  build: {
    outDir: "dist/app",
    emptyOutDir: true,
    target: "es2023",
    // No picture or font within a style: they are files that can be kept.
    assetsInlineLimit: 0,
    // Tells `pack.mjs` what the first view is made of.
    manifest: "manifest.json",
    modulePreload: { polyfill: false },
    rollupOptions: { output: { entryFileNames: "assets/[name]-[hash].js", chunkFileNames: "assets/[name]-[hash].js" } },
  },
});
